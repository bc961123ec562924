"""Runs that ended while another is followed: delivered by a thread of their own, one after the
other."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("rlhf.tracking")


class Ended:
    """After one that could not be delivered the others wait for the next that is added, and at
    last for `deliver_all`.

    Args:
        deliver: brings a directory to its service; returns a sentence where that is not possible.
    """

    def __init__(self, deliver: Callable[[Path], str | None]) -> None:
        self._deliver = deliver
        self._waiting: deque[Path] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def has(self, directory: Path) -> bool:
        """Whether it waits, or is under way."""
        with self._lock:
            return directory in self._waiting

    def add(self, directory: Path) -> None:
        """Returns at once."""
        with self._lock:
            if directory not in self._waiting:
                self._waiting.append(directory)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="rlhf-points", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._closed:
                    self._thread = None
                    return
                directory = self._waiting[0]
            late = self._deliver(directory)
            with self._lock:
                if late:
                    self._thread = None
                    log.info("%s", late)
                    return
                self._waiting.popleft()

    def close(self, timeout: float) -> None:
        """Waits for the one under way, and leaves the rest. `timeout`: at most so many seconds."""
        with self._lock:
            self._closed, thread = True, self._thread
        if thread is not None:
            thread.join(timeout)

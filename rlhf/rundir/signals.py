"""The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends (an
ignored one stays so: `nohup`)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

TWICE = 1.0  # seconds in which the same wish may come again


class Stop:
    """The signals that came: the first asks for an end, the second for one at once."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.last = 0.0

    def note(self, number: int) -> bool:
        """Counts a signal, and says whether it did: shells and wrappers may send one twice at
        once."""
        new = not self.signals or time.monotonic() - self.last > TWICE
        if new:
            self.signals.append(number)
            self.last = time.monotonic()
        return new

    @property
    def exit_code(self) -> int | None:
        """130 for Ctrl-C, 143 for everything else, None if nothing came."""
        return None if not self.signals else 130 if self.signals[0] == signal.SIGINT else 143


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Signals are noted instead of obeyed, for whoever looks."""
    stop = Stop()
    with handled(("SIGINT", "SIGTERM", "SIGHUP"), lambda number, frame: stop.note(number)):
        yield stop


@contextmanager
def unwinding() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that a launcher can end its workers.

    Raises:
        SystemExit: 143, wherever the process stands when one comes.
    """
    stop = Stop()

    def leave(number: int, frame: FrameType | None) -> None:
        if stop.note(number):
            raise SystemExit(stop.exit_code)

    with handled(("SIGTERM", "SIGHUP"), leave):
        try:
            yield
        except SystemExit as left:  # Ray puts a code of its own in place of ours
            raise SystemExit(stop.exit_code if stop.signals else left.code) from None


@contextmanager
def handled(
    names: tuple[str, ...], handler: Callable[[int, FrameType | None], object]
) -> Iterator[None]:
    """`handler` for these signals. Nothing outside the main thread (a notebook's executor): there
    signals are somebody else's business."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)

"""Several trackers at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rlhf.tracking.base import Status, Tracker


class Several(Tracker):
    """Each follows the run by itself: one that is slow or dead holds no other back.

    Args:
        trackers: by names of the user's own.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        if not trackers:
            raise ValueError("no tracker is named; tracking=[mlflow,tensorboard] names two")
        self.trackers = dict(trackers)

    def begin(self, directory: Path, **shown: Any) -> None:
        for tracker in self.trackers.values():
            tracker.begin(directory, **shown)

    def add(self, directory: Path, **shown: Any) -> None:
        for tracker in self.trackers.values():
            tracker.add(directory, **shown)

    def notify(self) -> None:
        for tracker in self.trackers.values():
            tracker.notify()

    def finish(self, status: Status, *, timeout: float = 20.0) -> str | None:
        """All at the same time: the end waits for the slowest, not for one after the other."""
        with ThreadPoolExecutor(len(self.trackers)) as pool:
            ends = [
                pool.submit(tracker.finish, status, timeout=timeout)
                for tracker in self.trackers.values()
            ]
            words = [word for end in ends if (word := end.result())]
        return " ".join(words) or None

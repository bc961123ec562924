"""Several trackers at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from rlhf.rundir.secrets.redact import sentence
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
        warnings: dict[str, str | None] = dict.fromkeys(self.trackers)

        def end(name: str, tracker: Tracker) -> None:
            try:
                warnings[name] = tracker.finish(status, timeout=timeout)
            except Exception as error:  # of a tracker of the user's own: it ends no other
                warnings[name] = f"The tracker {name} failed at the run's end: {sentence(error)}"

        # daemons: after Ctrl-C, or where one hangs, the process does not wait for them
        threads = [Thread(target=end, args=each, daemon=True) for each in self.trackers.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return " ".join(filter(None, warnings.values())) or None

"""The same view of jobs that another launcher runs as of our own, read from the jobs' files."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlhf.rundir.status import ENDED, RunState
from rlhf.sweeps.job import Job, Outcome, State
from rlhf.sweeps.screen.live import SweepWatcher, watching
from rlhf.sweeps.state import sweep_state

LOOK = 2.0  # seconds between looks


class Follower:
    """Outcomes of these jobs since now. What an earlier command left of one is not news: it
    waits until it is taken up again."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        self.directory, self.names, self.since = directory, names, time.time()
        self.done = {job.name for job in sweep_state(directory).jobs if job.state == "finished"}
        self.began: dict[str, float] = {}
        self.took: dict[str, float] = {}

    def outcomes(self) -> list[Outcome]:
        return [
            self._outcome(job) for job in sweep_state(self.directory).jobs if job.name in self.names
        ]

    def _outcome(self, run: RunState) -> Outcome:
        job, now = Job(name=run.name, directory=run.directory, plain={}), time.monotonic()
        if run.name in self.done:
            return Outcome(job, "finished before", 0)
        news = run.state in ("running", "finished") or (
            run.state in ENDED and run.status.get("time", 0.0) >= self.since
        )
        state: State = run.state if news else "waiting"
        if state == "running":
            self.began.setdefault(run.name, now)
        elif news:
            self.took.setdefault(run.name, now - self.began.get(run.name, now))
        return Outcome(job, state, run.exit_code if news else None, self.took.get(run.name, 0.0))


def stderr_console() -> Console:
    """Lines that go into a file are not folded."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=160)


@contextmanager
def following(console: Console, directory: Path, names: Collection[str]) -> Iterator[None]:
    """Around the launcher's work."""
    over = threading.Event()
    follower = Follower(directory, names)

    def look(watcher: SweepWatcher) -> None:
        while not over.wait(LOOK):
            watcher.update(follower.outcomes())
        watcher.update(follower.outcomes())

    with watching(console) as watcher:
        thread = threading.Thread(target=look, args=(watcher,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

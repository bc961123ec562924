"""The view of a sweep while it runs: a live table in a terminal, plain lines elsewhere; of jobs
that another launcher runs the same, read from the jobs' files."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from rlhf.metrics import LIVE, cells, with_rewards
from rlhf.rundir.read import last_row
from rlhf.rundir.status import ENDED, RunState, read_status, sweep_jobs
from rlhf.rundir.words import duration, plural
from rlhf.sweeps.job import BAD, GOOD, Job, Outcome, State
from rlhf.sweeps.screen.table import (
    Row,
    jobs_table,
    progress,
    progress_columns,
    say,
    stage_of,
)

PLAIN_SHARE = 0.1  # a plain line whenever a job has done another tenth
URGENT = ("running", *BAD)  # the first to get a row where there is no room for all
LOOK = 2.0  # seconds between looks at jobs that another launcher runs
IDLE = ("waiting", "finished before", "not started")  # nothing is happening to them


def fitting(outcomes: Sequence[Outcome], rows: int) -> tuple[list[Outcome], str]:
    """The outcomes that there is room for, in their order, and a row that counts the others ("" if
    there are none)."""
    if len(outcomes) <= rows:
        return list(outcomes), ""
    rank = {state: place for place, state in enumerate(URGENT)}
    order = sorted(
        range(len(outcomes)), key=lambda i: (rank.get(outcomes[i].state, len(URGENT)), i)
    )
    shown, rest = sorted(order[: rows - 1]), order[rows - 1 :]
    count = Counter(outcomes[i].state for i in rest)
    counted = ", ".join(f"{n} {state}" for state, n in count.most_common())
    return [outcomes[i] for i in shown], f"{len(rest)} more: {counted}"


def time_left(outcomes: Sequence[Outcome], lefts: Sequence[float | None]) -> float | None:
    """The seconds that a sweep needs to its end, None while that cannot be told: those left of the
    running jobs, and the mean time of finished ones for each that waits, over the jobs that run at
    once.

    Args:
        lefts: the seconds left of each running job, None where that is not known.
    """
    took = [o.seconds for o in outcomes if o.state == "finished" and o.seconds]
    waiting = sum(outcome.state == "waiting" for outcome in outcomes)
    if not lefts or (not took and (waiting or None in lefts)):
        return None
    mean = fmean(took) if took else 0.0
    rest = [mean if left is None else left for left in lefts]
    return max((sum(rest) + waiting * mean) / len(rest), *rest)


class SweepWatcher:
    """Reads status.json and the last line of metrics.jsonl of each running job."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self.console, self.live = console, live
        self.first: dict[tuple[Path, str], tuple[float, int]] = {}
        self.printed: dict[str, tuple[str, str, int]] = {}

    def update(self, outcomes: Sequence[Outcome]) -> None:
        with suppress(OSError):  # a terminal that was closed is no reason to stop a sweep
            if self.live is not None:
                self.live.update(self.table(outcomes, rows=max(2, self.console.height - 3)))
            else:
                for outcome in outcomes:
                    self._say(outcome, outcomes)

    def table(self, outcomes: Sequence[Outcome], rows: int = 1000) -> Table:
        """`rows` of them at most: rich would cut a table that is higher than the terminal, the
        jobs that run among them."""
        shown, rest = fitting(outcomes, rows)
        lines = [self._row(outcome) for outcome in shown]
        return jobs_table(
            lines,
            *progress_columns(lines),
            "time",
            width=self.console.width,
            rest=rest,
            caption=self.whole(outcomes),
        )

    def whole(self, outcomes: Sequence[Outcome]) -> str:
        """How far the sweep is, and about how long it will take."""
        done = sum(outcome.state in GOOD for outcome in outcomes)
        running = [outcome for outcome in outcomes if outcome.state == "running"]
        lefts = [self.left(o.job.directory, read_status(o.job.directory)) for o in running]
        left = time_left(outcomes, lefts)
        about = "" if not left else f", about {duration(left)} left"
        return f"{done} of {plural(len(outcomes), 'job')} finished{about}"

    def left(self, directory: Path, status: Mapping[str, Any]) -> float | None:
        """The seconds left of a job's stage, from the iterations since it was first seen there."""
        iteration, total = status.get("iteration") or 0, status.get("iterations") or 0
        began, start = self.first.setdefault(
            (directory, str(status.get("stage"))), (time.monotonic(), iteration)
        )
        if iteration <= start or not total:
            return None
        return (total - iteration) * (time.monotonic() - began) / (iteration - start)

    def _row(self, outcome: Outcome) -> Row:
        directory = outcome.job.directory
        status = read_status(directory) if outcome.state not in ("waiting", "not started") else {}
        time = "" if not outcome.seconds else duration(outcome.seconds)
        if outcome.state == "running":
            left = self.left(directory, status)
            time = "" if not left else f"{duration(left)} left"
        return {
            "job": outcome.job.name,
            "state": outcome.state,
            **progress(directory, status),
            "time": time,
        }

    def _say(self, outcome: Outcome, outcomes: Sequence[Outcome]) -> None:
        """A line, if its state, its stage or its tenth is new; where it ended, how far they all
        are."""
        if outcome.state in IDLE:
            return
        directory, name = outcome.job.directory, outcome.job.name
        status = read_status(directory) if outcome.state == "running" else {}
        total = status.get("iterations") or 0
        tenth = int((status.get("iteration") or 0) / total / PLAIN_SHARE) if total else 0
        now = (outcome.state, str(status.get("stage") or ""), tenth)
        if self.printed.get(name) == now:
            return
        self.printed[name] = now
        last = last_row(directory / "metrics.jsonl")
        metrics = cells(last, with_rewards(LIVE, last))
        shown = " ".join(f"{label} {text}" for label, text in metrics.items() if text)
        if outcome.state != "running":
            code = f" ({outcome.ended})" if outcome.state in ("failed", "time limit") else ""
            line = f"{name}: {outcome.state}{code} after {duration(outcome.seconds)}  {shown}"
            line = f"{line.rstrip()}  ({self.whole(outcomes)})"
        elif total:
            seconds = self.left(directory, status)
            left = "" if not seconds else f"  left {duration(seconds)}"
            line = f"{name}: {stage_of(status)} {status['iteration']}/{total}  {shown}{left}"
        else:
            line = f"{name}: {stage_of(status) or 'started'}"
        say(self.console, line.rstrip())


@contextmanager
def watching(console: Console) -> Iterator[SweepWatcher]:
    live = (
        Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
    )
    try:
        if live is not None:
            live.start()
        yield SweepWatcher(console, live)
    finally:
        with suppress(OSError):
            if live is not None:
                live.stop()


class Follower:
    """Outcomes of these jobs since now. What an earlier command left of one is not news: it
    waits until it is taken up again."""

    def __init__(self, directory: Path, names: Collection[str]) -> None:
        self.directory, self.names, self.since = directory, names, time.time()
        self.done = {job.name for job in sweep_jobs(directory) if job.state == "finished"}
        self.began: dict[str, float] = {}
        self.took: dict[str, float] = {}

    def outcomes(self) -> list[Outcome]:
        return [self._outcome(job) for job in sweep_jobs(self.directory) if job.name in self.names]

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

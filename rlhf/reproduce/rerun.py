"""The work itself: one run in this process, or a sweep's jobs through the launcher that made
them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlhf.reproduce.check import Job
from rlhf.reproduce.place import Place, lend, moved
from rlhf.reproduce.target import Target


def directory_of(job: Job, target: Target, place: Place) -> Path:
    return place.directory / job.original.name if target.kind == "sweep" else place.directory


def make_again(
    target: Target, jobs: Sequence[Job], place: Place, *, reuse: bool, at_once: int | None = None
) -> int:
    """Goes on where an earlier command stopped. Jobs that fail do not stop the others.

    Returns:
        130 or 143 if a signal stopped it (the state is saved), else 0 or 1.

    Raises:
        RunFailed: another process is at work in the same place.
    """
    if reuse:
        for job in jobs:
            lend(job, place)
    if target.kind != "sweep":
        from rlhf.runs.execute import execute

        return execute(
            moved(jobs[0], place), directory=place.directory, log=place.directory / "log.txt"
        )
    from rlhf.sweeps.job import GOOD
    from rlhf.sweeps.launchers.local import run_sweep

    planned = [(job.original.overrides, moved(job, place)) for job in jobs]
    try:
        outcomes = run_sweep(planned, place.directory, overrides=target.overrides, n=at_once)
    except SystemExit as stop:
        return int(stop.code or 0)
    return int(any(outcome.state not in GOOD for outcome in outcomes))

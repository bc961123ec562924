"""The entries of an inventory as rows of a table, and their order."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlhf.commands.parts.listed.tables import Column, Row
from rlhf.inventory import (
    ArtifactEntry,
    Key,
    Leftover,
    Measured,
    RunEntry,
    SweepEntry,
)
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import about, few, plural

SHORT = 8  # digits of a fingerprint that a person reads
RUNS = (
    Column(name="run", side="left"),
    Column(name="sweep", side="left", gives_way=3),
    Column(name="state", side="left"),
    Column(name="iteration", gives_way=2),
    Column(name="reward"),
    Column(name="KL"),
    Column(name="disk"),
    Column(name="age"),
)
SWEEPS = (
    Column(name="sweep", side="left"),
    Column(name="jobs", side="left"),
    Column(name="best reward"),
    Column(name="at KL"),
    Column(name="disk"),
    Column(name="age"),
)
ARTIFACTS = (
    Column(name="artifact", side="left"),
    Column(name="state", side="left", gives_way=1),
    Column(name="parents", side="left", gives_way=2),
    Column(name="used by", side="left"),
    Column(name="disk"),
    Column(name="age"),
)


def state_of(entry: RunEntry | SweepEntry | ArtifactEntry | Leftover) -> str:
    """One of the words of `rlhf.rundir.status`, or `damaged`. An artifact is published whole; a
    folder of one in the making is cut where nobody is known to be at work on it."""
    if isinstance(entry, Leftover):
        return {"work": "running" if entry.at_work else "cut"}.get(entry.kind, "damaged")
    if entry.damage:
        return "damaged"
    return entry.state if isinstance(entry, RunEntry) else "finished"


# --- rows


def run_row(run: RunEntry) -> Row:
    points = f" ({len(run.points) + 1} points)" if run.points else ""
    done = "" if run.iteration is None else str(run.iteration)
    return {
        "run": run.name + points,
        "sweep": run.sweep or run.study,
        "state": state_of(run),
        "iteration": f"{done}/{run.iterations}" if run.iterations else done,
        "reward": _reward(run.reward),
        "KL": _number(run.kl, ".2f"),
        "disk": amount(run.disk.bytes) if run.disk.bytes else "",
        "age": age(run.changed),
    }


def sweep_row(sweep: SweepEntry) -> Row:
    best = best_job(sweep)
    return {
        "sweep": sweep.name,
        "jobs": states(sweep) or "none",
        "best reward": _reward(best.reward) if best else "",
        "at KL": _number(best.kl, ".2f") if best else "",
        "disk": amount(sweep.disk.bytes),
        "age": age(sweep.changed),
    }


def states(sweep: SweepEntry) -> str:
    """4 finished, 1 damaged"""
    count = Counter(map(state_of, sweep.jobs))
    return ", ".join(f"{number} {state}" for state, number in count.most_common())


def best_job(sweep: SweepEntry) -> RunEntry | None:
    """The finished job with the highest reward, of those that have the first one's kind."""
    ended = [job for job in sweep.jobs if job.is_finished and job.reward]
    kinds = Counter(job.reward.name for job in ended if job.reward)
    name = "gold" if "gold" in kinds else next(iter(kinds), None)
    same = [job for job in ended if job.reward and job.reward.name == name]
    return min(same, key=SORTS["reward"], default=None)


def artifact_row(entry: ArtifactEntry | Leftover) -> Row:
    about_it = {
        "artifact": f"{entry.key.stage} {entry.directory.name}",
        "state": state_of(entry),
        "disk": amount(entry.disk.bytes),
        "age": age(entry.changed),
    }
    if isinstance(entry, Leftover):
        return about_it
    artifacts = sum(map(_is_artifact, entry.used_by))
    runs = len(entry.used_by) - artifacts
    users = [plural(n, word) for n, word in ((runs, "run"), (artifacts, "artifact")) if n]
    return {
        **about_it,
        "artifact": short(entry.key),
        "parents": few(list(map(short, entry.parents)), 3),
        "used by": ", ".join(users) or "nobody",
    }


def _is_artifact(place: Path) -> bool:
    return place.absolute().parent.parent.name == "artifacts"


def short(key: Key) -> str:
    """sft 750852b0"""
    return f"{key.stage} {key.fingerprint[:SHORT]}"


def age(changed: float | None) -> str:
    return "" if changed is None else about(max(0.0, time.time() - changed))


def _reward(reward: Measured | None) -> str:
    name = "" if reward is None else f" {reward.name}"
    return f"{_number(reward, '+.3f')}{name}"


def _number(measured: Measured | None, form: str) -> str:
    return "" if measured is None else format(measured.value, form)


# --- order

Entry = RunEntry | SweepEntry | ArtifactEntry | Leftover


def _key(value: float | None, *, most_first: bool = False) -> tuple[bool, float]:
    """What is not known, or nan, comes last."""
    unknown = value is None or math.isnan(value)
    return unknown, 0.0 if unknown else -float(value or 0.0) if most_first else float(value or 0.0)


def _measured(entry: Entry, name: str) -> float | None:
    run = best_job(entry) if isinstance(entry, SweepEntry) else entry
    measured = getattr(run, name, None)
    return measured.value if isinstance(measured, Measured) else None


SORTS: dict[str, Callable[[Any], Any]] = {
    "age": lambda entry: _key(entry.changed, most_first=True),
    "disk": lambda entry: _key(entry.disk.bytes, most_first=True),
    "reward": lambda entry: _key(_measured(entry, "reward"), most_first=True),
    "kl": lambda entry: _key(_measured(entry, "kl")),
    "name": lambda entry: getattr(entry, "name", str(entry.directory)),
}

"""What a sweep's files say, for whoever looks on: while it runs, after it ended, after it was
killed."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf import metrics
from rlhf.rundir.status import is_alive

if TYPE_CHECKING:
    from rich.console import Console

LAUNCHER = "launcher.json"  # in a sweep's directory: its parent process and how each job ended
STYLES = {
    "finished": "green",
    "finished before": "green",
    "failed": "bold red",
    "time limit": "bold red",
    "stopped": "yellow",
    "cut": "yellow",
    "running": "cyan",
}
ENDED = ("finished", "finished before", "failed", "time limit", "stopped")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, {} where there is none to be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def last_row(path: Path) -> dict[str, Any]:
    """The last whole line of a JSON Lines file, {} if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            text = file.read().decode(errors="replace")
        row = json.loads(text[: text.rindex("\n")].rpartition("\n")[2])
    except (OSError, ValueError):
        return {}
    return row if isinstance(row, dict) else {}


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log that say something."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()][-count:]


def numbers(row: dict[str, Any]) -> dict[str, str]:
    """Reward, KL and coefficient of one line of metrics.jsonl, as text."""
    return metrics.cells(row, metrics.LIVE)


@dataclass(frozen=True, kw_only=True)
class JobState:
    """A job as its files have it. `cut`: it was at work and its process is gone."""

    name: str
    directory: Path
    state: str
    exit_code: int | None = None
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"


@dataclass(frozen=True, kw_only=True)
class SweepState:
    directory: Path
    jobs: tuple[JobState, ...]
    parent: int | None  # the process that runs them here, if it is alive


def sweep_state(directory: Path) -> SweepState:
    """Every job of sweep.json, and every other run that lies in the sweep's directory."""
    launcher = read_object(directory / LAUNCHER)
    at_work = bool(launcher.get("working")) and is_alive(launcher) is not False
    told = launcher.get("jobs", {})
    named = [str(job["name"]) for job in read_object(directory / "sweep.json").get("jobs", ())]
    found = sorted(path.parent.name for path in directory.glob("*/status.json"))
    jobs = tuple(
        _job(directory / name, told.get(name, {}), at_work)
        for name in dict.fromkeys([*named, *found])
    )
    return SweepState(
        directory=directory, jobs=jobs, parent=launcher.get("pid") if at_work else None
    )


def _job(directory: Path, told: dict[str, Any], at_work: bool) -> JobState:
    """`told`: what the launcher wrote of it."""
    status = read_object(directory / "status.json")
    state, code = str(status.get("state") or "not started"), status.get("exit_code")
    if read_object(directory / "summary.json").get("status") == "finished":
        state, code = "finished", 0
    elif at_work and told.get("state") in ("waiting", "running"):
        state, code = told["state"], None
        status = {} if state == "waiting" else status
    elif state == "running" and is_alive(status) is not False:
        code = None
    elif told.get("state") in ENDED:
        state, code = told["state"], told.get("exit_code")
    elif state == "running":
        state, code = "cut", None
    elif state == "not started" and at_work:
        state = "waiting"
    return JobState(
        name=directory.name, directory=directory, state=state, exit_code=code, status=status
    )


def print_state(console: Console, directory: Path) -> None:
    """A table of the sweep's jobs; of those that run or did not finish the end of the log and
    its path."""
    from rich.table import Table
    from rich.text import Text

    found = sweep_state(directory)
    table = Table(box=None, pad_edge=False)
    for column in ("job", "state", "exit", "stage", "iteration", "reward", "KL", "coef", "seen"):
        table.add_column(
            column, justify="left" if column in ("job", "state", "stage") else "right", no_wrap=True
        )
    for job in found.jobs:
        table.add_row(job.name, Text(job.state, STYLES.get(job.state, "dim")), *_cells(job))
    console.print(table)
    for job in found.jobs:
        if job.state in ("running", "failed", "time limit", "stopped", "cut"):
            print_end(
                console,
                job.name,
                job.state,
                last_lines(job.log, 1 if job.state == "running" else 3),
                job.log,
            )
    count = Counter(job.state for job in found.jobs)
    told = (
        f"{len(found.jobs)} jobs in {directory}:"
        f" {', '.join(f'{n} {state}' for state, n in count.most_common())}"
    )
    at_work = found.parent is not None or "running" in count
    tail = (
        f"process {found.parent} is at work"
        if found.parent
        else ""
        if at_work
        else "nobody is at work on them"
    )
    again = (
        "; the same command runs what is missing"
        if not at_work and count.keys() - {"finished"}
        else ""
    )
    console.print(
        f"{told}{'; ' if tail else ''}{tail}{again}", highlight=False, soft_wrap=True, markup=False
    )


def print_end(console: Console, name: str, state: str, lines: Iterable[str], log: Path) -> None:
    """A job, what it said last, and where the rest is."""
    told = "\n".join([f"{name}: {state}", *(f"  | {line}" for line in lines), f"  log: {log}"])
    console.print(told, highlight=False, soft_wrap=True, markup=False)


def _cells(job: JobState) -> list[str]:
    status = job.status
    total = status.get("iterations")
    shown = numbers(last_row(job.directory / "metrics.jsonl") if status else {})
    ago = (
        f"{max(0, round(time.time() - status['time']))} s ago"
        if job.state == "running" and "time" in status
        else ""
    )
    code = "" if job.exit_code is None else str(job.exit_code)
    iteration = f"{status.get('iteration', 0)}/{total}" if total else ""
    return [
        code,
        str(status.get("stage") or ""),
        iteration,
        shown["reward"],
        shown["KL"],
        shown["coef"],
        ago,
    ]

"""The tables of a sweep's jobs, all made of the same rows: while it runs, at its end, and whenever
somebody asks how it stands."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf.metrics import LIVE, cells, with_rewards
from rlhf.rundir.read import last_lines, last_row
from rlhf.rundir.status import RunState, read_launcher, read_status, sweep_jobs
from rlhf.rundir.words import duration, plural, shortened, wrapped
from rlhf.sweeps.job import BAD, Outcome

Row = Mapping[str, str]  # the cells of a job by their columns
PROGRESS = ("stage", "iteration", "proxy", "gold", "KL", "coef")
EXPENDABLE = ("coef", "stage", "exit")  # columns that a narrow terminal does without
SHORTEST = 8  # characters of a name
STYLES = {
    "finished": "green",
    "finished before": "green",
    "failed": "bold red",
    "time limit": "bold red",
    "stopped": "yellow",
    "cut": "yellow",
    "running": "cyan",
}


def say(console: Console, *lines: str) -> None:
    text = "\n".join(lines)
    if console.is_terminal:
        text = wrapped(text, console.width)
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def jobs_table(
    rows: Iterable[Row], *columns: str, width: int, rest: str = "", caption: str = ""
) -> Table:
    """A line for each job: its name, its state, and of these columns what `width` characters hold.
    `rest`: a last line; `caption`: a line below."""
    rows = list(rows)
    shown, room = fitting(rows, columns, width)
    table = Table(box=None, pad_edge=False, caption=caption or None, caption_justify="left")
    for column in ("job", "state", *shown):
        side = "left" if column in ("job", "state", "stage") else "right"
        table.add_column(column, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for name, row in zip(shortened([row["job"] for row in rows], room), rows, strict=True):
        state = Text(row["state"], STYLES.get(row["state"], "dim"))
        table.add_row(name, state, *(row.get(column, "") for column in shown))
    if rest:
        table.add_row(*shortened([rest], room))
    return table


def fitting(rows: Sequence[Row], columns: Sequence[str], width: int) -> tuple[tuple[str, ...], int]:
    """The columns beside job and state that fit `width` characters, and those left for a name."""
    longest = max((len(row["job"]) for row in rows), default=3)
    for i in range(len(EXPENDABLE) + 1):
        shown = tuple(column for column in columns if column not in EXPENDABLE[:i])
        sizes = [
            max([len(name), *(len(row.get(name, "")) for row in rows)])
            for name in ("state", *shown)
        ]
        room = width - sum(sizes) - 2 * len(sizes)  # two spaces between columns
        if room >= longest:
            break
    return shown, max(room, SHORTEST)


def stage_of(status: Mapping[str, Any]) -> str:
    """What people call the stage that a run is in; empty where its status names none."""
    return str(status.get("title") or status.get("stage") or "")


def progress(directory: Path, status: Mapping[str, Any]) -> dict[str, str]:
    """The cells that say where a run is, by its status and the last line of its metrics; none
    without a status."""
    if not status:
        return {}
    total, last = status.get("iterations"), last_row(directory / "metrics.jsonl")
    return {
        "stage": stage_of(status),
        "iteration": f"{status.get('iteration', 0)}/{total}" if total else "",
        **cells(last, with_rewards(LIVE, last)),
    }


def progress_columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """`PROGRESS` with the other rewards that jobs have, after gold; then proxy and gold only where
    a job has them."""
    known = ("job", "state", "exit", "seen", "time", *PROGRESS)
    others = sorted({column for row in rows for column in row if column not in known})
    empty = [c for c in ("proxy", "gold") if others and not any(row.get(c) for row in rows)]
    shown = [column for column in PROGRESS if column not in empty]
    place = shown.index("KL")
    return (*shown[:place], *others, *shown[place:])


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Prints how each job ended; of those that did not finish the end of the log and its path."""
    rows = [
        {
            "job": outcome.job.name,
            "state": outcome.state,
            "exit": outcome.ended if outcome.exit_code else "",
            "iteration": _reached(outcome),
            "time": duration(outcome.seconds) if outcome.seconds else "",
        }
        for outcome in outcomes
    ]
    columns = [name for name in ("exit", "iteration") if any(row[name] for row in rows)]
    console.print(jobs_table(rows, *columns, "time", width=console.width))
    for outcome in outcomes:
        if outcome.state in BAD:
            lines = [outcome.error] if outcome.error else last_lines(outcome.job.log, 3)
            _print_end(console, outcome.job.name, outcome.state, lines, outcome.job.log)


def _reached(outcome: Outcome) -> str:
    """The stage and the iteration in which a job ended that did not finish."""
    if outcome.state not in BAD:
        return ""
    directory = outcome.job.directory
    cells = progress(directory, read_status(directory))
    return f"{cells['stage']} {cells['iteration']}".strip() if cells.get("iteration") else ""


def print_state(console: Console, directory: Path) -> None:
    """Prints a table of the sweep's jobs; of those that run or did not finish the end of the log
    and its path."""
    launcher = read_launcher(directory)
    jobs = sweep_jobs(directory, launcher)
    rows = [_row(job) for job in jobs]
    columns = ("exit", *progress_columns(rows), "seen")
    console.print(jobs_table(rows, *columns, width=console.width))
    for job in jobs:
        if job.state in ("running", "cut", *BAD):
            lines = last_lines(job.log, 1 if job.state == "running" else 3)
            _print_end(console, job.name, job.state, lines, job.log)
    count = Counter(job.state for job in jobs)
    parts = [
        f"{plural(len(jobs), 'job')} in {directory}:"
        f" {', '.join(f'{n} {state}' for state, n in count.most_common())}"
    ]
    if launcher.parent is not None:
        parts.append(f"process {launcher.parent} is at work")
    elif "running" not in count:
        parts.append("nobody is at work on them")
        if count.keys() - {"finished"}:
            parts.append("the same command runs what is missing")
    say(console, "; ".join(parts))


def _row(job: RunState) -> Row:
    seen = job.status.get("time") if job.state == "running" else None
    return {
        "job": job.name,
        "state": job.state,
        "exit": "" if job.exit_code is None else str(job.exit_code),
        **progress(job.directory, job.status),
        "seen": "" if seen is None else f"{duration(max(0.0, time.time() - seen))} ago",
    }


def _print_end(console: Console, name: str, state: str, lines: Iterable[str], log: Path) -> None:
    say(console, f"{name}: {state}", *(f"  | {line}" for line in lines), f"  log: {log}")

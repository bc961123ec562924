"""What a person sees while a sweep runs: a live table in a terminal, plain lines elsewhere; and
the table at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlhf.sweeps.job import Outcome
from rlhf.sweeps.state import STYLES, last_lines, last_row, numbers, print_end, read_object

PLAIN_SHARE = 0.1  # a plain line whenever a job has done another tenth
# the first to get a row where there is no room for all
URGENT = ("running", "failed", "time limit", "stopped")


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min"
        if hours
        else f"{minutes} min {rest:02d} s"
        if minutes
        else f"{rest} s"
    )


class Clock:
    """Time left of a job's stage, from the iterations since it was first seen there."""

    def __init__(self) -> None:
        self.first: dict[tuple[Path, str], tuple[float, int]] = {}

    def left(self, directory: Path, status: dict[str, Any]) -> str:
        iteration, total = status.get("iteration") or 0, status.get("iterations") or 0
        began, start = self.first.setdefault(
            (directory, str(status.get("stage"))), (time.monotonic(), iteration)
        )
        done = iteration - start
        return (
            duration((total - iteration) * (time.monotonic() - began) / done)
            if done > 0 and total
            else ""
        )


def fitting(outcomes: Sequence[Outcome], rows: int) -> tuple[list[Outcome], str]:
    """Those that there is room for, in their order, and a row that counts the others ("" if
    there are none)."""
    if len(outcomes) <= rows:
        return list(outcomes), ""
    order = sorted(
        range(len(outcomes)),
        key=lambda i: (
            URGENT.index(outcomes[i].state) if outcomes[i].state in URGENT else len(URGENT),
            i,
        ),
    )
    shown, rest = sorted(order[: rows - 1]), order[rows - 1 :]
    count = Counter(outcomes[i].state for i in rest)
    return [
        outcomes[i] for i in shown
    ], f"{len(rest)} more: {', '.join(f'{n} {state}' for state, n in count.most_common())}"


class SweepWatcher:
    """Reads status.json and the last line of metrics.jsonl of each running job."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self.console, self.live = console, live
        self.clock = Clock()
        self.told: dict[str, tuple[str, str, int]] = {}

    def update(self, outcomes: Sequence[Outcome]) -> None:
        if self.live is not None:
            self.live.update(self.table(outcomes, rows=max(2, self.console.height - 2)))
        else:
            for outcome in outcomes:
                self._say(outcome)

    def table(self, outcomes: Sequence[Outcome], rows: int = 1000) -> Table:
        """`rows` of them at most: rich would cut a table that is higher than the terminal, the
        jobs that run among them."""
        table = Table(box=None, pad_edge=False)
        for column in ("job", "state", "stage", "iteration", "reward", "KL", "coef", "left"):
            table.add_column(
                column,
                justify="left" if column in ("job", "state", "stage") else "right",
                no_wrap=True,
            )
        shown, rest = fitting(outcomes, rows)
        for outcome in shown:
            table.add_row(
                outcome.job.name,
                Text(outcome.state, STYLES.get(outcome.state, "dim")),
                *self._cells(outcome),
            )
        if rest:
            table.add_row(rest)
        return table

    def _cells(self, outcome: Outcome) -> list[str]:
        directory = outcome.job.directory
        status = (
            read_object(directory / "status.json")
            if outcome.state not in ("waiting", "not started")
            else {}
        )
        shown = numbers(last_row(directory / "metrics.jsonl") if status else {})
        total = status.get("iterations")
        iteration = f"{status.get('iteration', 0)}/{total}" if total else ""
        left = (
            self.clock.left(directory, status)
            if outcome.state == "running"
            else duration(outcome.seconds)
            if outcome.seconds
            else ""
        )
        return [
            str(status.get("stage") or ""),
            iteration,
            shown["reward"],
            shown["KL"],
            shown["coef"],
            left,
        ]

    def _say(self, outcome: Outcome) -> None:
        if outcome.state in ("waiting", "finished before", "not started"):
            return
        directory = outcome.job.directory
        status = read_object(directory / "status.json") if outcome.state == "running" else {}
        total = status.get("iterations") or 0
        tenth = int((status.get("iteration") or 0) / total / PLAIN_SHARE) if total else 0
        now = (outcome.state, str(status.get("stage") or ""), tenth)
        if self.told.get(outcome.job.name) == now:
            return
        self.told[outcome.job.name] = now
        shown = " ".join(
            f"{label} {text}"
            for label, text in numbers(last_row(directory / "metrics.jsonl")).items()
            if text
        )
        if outcome.state != "running":
            how = (
                f"{outcome.state} ({outcome.ended})"
                if outcome.state in ("failed", "time limit")
                else outcome.state
            )
            self._print(f"{outcome.job.name}: {how} after {duration(outcome.seconds)}  {shown}")
        elif total:
            left = self.clock.left(directory, status)
            self._print(
                f"{outcome.job.name}: {now[1]} {status['iteration']}/{total} "
                f" {shown}{f'  left {left}' if left else ''}"
            )
        else:
            self._print(f"{outcome.job.name}: {now[1] or 'started'}")

    def _print(self, line: str) -> None:
        self.console.print(line.rstrip(), highlight=False, soft_wrap=True, markup=False)


@contextmanager
def watching(console: Console) -> Iterator[SweepWatcher]:
    if not console.is_terminal:
        yield SweepWatcher(console, None)
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield SweepWatcher(console, live)


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """How each job ended; of those that did not finish the last lines and the path of the log."""
    table = Table(box=None, pad_edge=False)
    for column in ("job", "state", "exit", "time"):
        table.add_column(column, no_wrap=True)
    for outcome in outcomes:
        state = Text(outcome.state, STYLES.get(outcome.state, "dim"))
        took = duration(outcome.seconds) if outcome.seconds else ""
        table.add_row(outcome.job.name, state, outcome.ended if outcome.exit_code else "", took)
    console.print(table)
    for outcome in outcomes:
        if outcome.state in ("failed", "time limit", "stopped"):
            lines = [outcome.error] if outcome.error else last_lines(outcome.job.log, 3)
            print_end(console, outcome.job.name, outcome.state, lines, outcome.job.log)

"""Rewards at matched KL, as lines of report.md and rows of matched.csv."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from rlhf.compare.statistics.findings import Findings
from rlhf.compare.statistics.intervals import say
from rlhf.compare.statistics.matched import BUDGETS, Cell, cell
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text.markdown import grid

COLUMNS = (
    "reward",
    "setting",
    "budget_nats",
    "mean",
    "low",
    "high",
    "reached",
    "runs",
    "short",
    "furthest_nats",
)


def write_matched(path: Path, settings: Sequence[Setting], rewards: Sequence[str]) -> Path:
    """One row a reward, setting and budget; without numbers where no run came there."""
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for key in rewards:
            for s in settings:
                for budget in BUDGETS:
                    writer.writerow([key, s.label, budget, *_row(cell(s, key, budget))])
    return path


def _row(found: Cell) -> list[object]:
    numbers = (found.interval.mean, found.interval.low, found.interval.high)
    return [
        *("" if math.isnan(x) else x for x in numbers),
        found.reached,
        found.runs,
        found.short,
        found.furthest,
    ]


def markdown(settings: Sequence[Setting], found: Findings | None) -> list[str]:
    """The section of report.md, for the reward that decides; nothing where no reward is finite."""
    if found is None:
        return []
    head = ["setting", *(f"{b:g} nat{'s' if b != 1 else ''}" for b in BUDGETS)]
    rows = [[s.label, *(shown(cell(s, found.key, b)) for b in BUDGETS)] for s in settings]
    said = (
        f"{found.key.removeprefix('reward/').capitalize()} reward at the last moment of training"
        " with that KL, 95 % intervals in brackets; nothing is extrapolated (* came within a tenth"
        " of it), and a KL that training took back to less than half the budget does not count."
    )
    return ["## At matched KL", said, grid(head, rows)]


def shown(found: Cell) -> str:
    """1.57 (1.45 to 1.69)*, with a star for what only came within a tenth of the budget."""
    if not found.reached:
        return found.why
    few = f", {found.reached} of {found.runs} runs" if found.reached < found.runs else ""
    return say(found.interval) + ("*" if found.short else "") + few

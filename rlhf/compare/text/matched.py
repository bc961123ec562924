"""Rewards at matched KL, as lines of report.md and rows of matched.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from rlhf.compare.statistics import BUDGETS, Cell, Study, say
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


def write_csv(path: Path, study: Study) -> None:
    """One row a reward, setting and budget; without numbers where no run came there."""
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for table in study.matched:
            for label, cells in table.rows:
                writer.writerows([table.key, label, cell.budget, *_row(cell)] for cell in cells)


def _row(cell: Cell) -> list[object]:
    numbers = (cell.interval.mean, cell.interval.low, cell.interval.high)
    return [
        *("" if math.isnan(x) else x for x in numbers),
        cell.reached,
        cell.runs,
        cell.short,
        cell.furthest,
    ]


def markdown(study: Study) -> str:
    """The section of report.md, for the reward that decides; empty where no reward is finite."""
    deciding = study.findings.key if study.findings is not None else None
    table = next((m for m in study.matched if m.key == deciding), None)
    if table is None:
        return ""
    head = ["setting", *(f"{b:g} nat{'s' if b != 1 else ''}" for b in BUDGETS)]
    explanation = (
        f"{table.reward.capitalize()} reward at the last moment of training"
        " with that KL, 95 % intervals in brackets; nothing is extrapolated (* came within a tenth"
        " of it), and a KL that training took back to less than half the budget does not count."
    )
    rows = [[label, *map(shown, cells)] for label, cells in table.rows]
    return f"## At matched KL\n\n{explanation}\n\n{grid(head, rows)}"


def shown(cell: Cell) -> str:
    """1.57 (1.45 to 1.69)*, with a star for what only came within a tenth of the budget."""
    if not cell.reached:
        return cell.why
    few = f", {cell.reached} of {cell.runs} runs" if cell.reached < cell.runs else ""
    return say(cell.interval) + ("*" if cell.short else "") + few

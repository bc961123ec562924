"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """`runs` are the lines of runs.csv; `settings` the means over seeds, `<key>`, `<key>_se`,
    `<key>_std` and `<key>_n` for each number."""

    runs: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    files: dict[str, Path]  # report.html, report.md, runs.csv, frontier.png
    answer: str
    links: dict[str, str]  # into MLflow, where the runs are there
    warnings: tuple[str, ...]


class NothingToCompare(ValueError):
    """The directory is no sweep, or an empty one."""

"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """`runs` are the lines of runs.csv; `settings` the means over seeds, `<key>`, `<key>_se`,
    `<key>_std`, `<key>_n` and the 95 % interval `<key>_low` to `<key>_high` for each number, at
    these prompts; `<key>_like_low` and `_like_high` for prompts like these."""

    runs: list[dict[str, Any]]
    settings: list[dict[str, Any]]
    files: dict[str, Path]  # by name
    answer: str
    links: dict[str, str]  # into MLflow, where the runs are there
    warnings: tuple[str, ...]


class NothingToCompare(ValueError):
    """The directory is no sweep, or an empty one."""

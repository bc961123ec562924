"""What a claim's page shows, and what is kept so that it need not be done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.report import table

Numbers = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One table of a page."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __str__(self) -> str:
        return f"{self.title}\n\n{table(self.heads, self.rows)}"


class Kept:
    """The numbers of each problem, in one file of the folder."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.numbers: dict[str, Numbers] = {}
        if file.exists():
            self.numbers = json.loads(file.read_text())

    def of(self, key: str, made: Callable[[], Numbers]) -> Numbers:
        if key not in self.numbers:
            self.numbers[key] = made()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            aside = self.file.with_suffix(".part")
            aside.write_text(json.dumps(self.numbers))
            aside.replace(self.file)
        return self.numbers[key]

    def each(
        self, problems: int, made: Callable[..., Numbers], *settings: str | float
    ) -> list[Numbers]:
        """made(number, *settings) of problems 0, 1, ...: what is kept is known by the function's
        name and its settings."""
        name = "/".join(map(str, (made.__name__, *settings)))
        return [
            self.of(f"{name}/{number}", partial(made, number, *settings))
            for number in range(problems)
        ]


def column(rows: Sequence[Numbers], name: str) -> list[float]:
    return [row[name] for row in rows]

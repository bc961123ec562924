"""Rows of metrics by column, as numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.rundir.read import number


def value(row: Mapping[str, Any], key: str) -> float:
    """A metric as a float, nan where the row has none."""
    known = number(row.get(key))
    return math.nan if known is None else known


class Columns(dict[str, list[float]]):
    """A metric of every row, nan where a row has none: read once, when it is first asked for."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, key: str) -> list[float]:
        self[key] = [value(row, key) for row in self._rows]
        return self[key]

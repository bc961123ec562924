"""How many rows go through a network at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AtOnce:
    """What goes through a network at once: at most so many rows, and at most so many real tokens
    (padding is not counted), but one row at least. None: no limit."""

    rows: int | None = None
    tokens: int | None = None

    @property
    def limits(self) -> bool:
        return self.rows is not None or self.tokens is not None

    def of(self, count: int, length: int) -> int:
        """Of `count` rows of `length` tokens each, those that go through at once."""
        within = count if self.tokens is None else self.tokens // max(length, 1)
        return max(1, min(within, count if self.rows is None else self.rows))

    def cut(self, lengths: Sequence[int]) -> list[list[int]]:
        """Rows of these lengths in tokens as groups of indices, each of which goes through at once:
        the longest first, so that rows of like length are together."""
        most_rows, most_tokens = self.rows or math.inf, self.tokens or math.inf
        groups: list[list[int]] = []
        tokens = 0
        for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
            tokens += lengths[row]
            if not groups or len(groups[-1]) >= most_rows or tokens > most_tokens:
                groups.append([])
                tokens = lengths[row]
            groups[-1].append(row)
        return groups

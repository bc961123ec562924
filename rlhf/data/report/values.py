"""The report on a run's data as values: counted once, drawn many times. No torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Of whole numbers; each is one of them (nearest rank)."""

    least: int
    median: int
    p95: int
    most: int

    @classmethod
    def of(cls, numbers: Collection[int]) -> Spread | None:
        """None of no numbers."""
        if not numbers:
            return None
        ordered = sorted(numbers)
        return cls(
            least=ordered[0],
            median=ranked(ordered, 0.5),
            p95=ranked(ordered, 0.95),
            most=ordered[-1],
        )


def ranked(ordered: list[int], share: float) -> int:
    """The smallest of the numbers that at least this share of them does not exceed."""
    # 0.95 * 20 is 19.000000000000004 for some shares and counts
    return ordered[max(1, math.ceil(share * len(ordered) - 1e-9)) - 1]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the data: demonstrations, preferences or prompts. Duplicates are rows that another
    row before them equals."""

    name: str
    rows: int  # to train on
    heldout: int
    turns: Spread | None
    tokens: Spread | None  # of whole sequences, both sides of a pair
    prompt_tokens: Spread | None
    measured: int  # rows whose tokens were counted
    duplicates: int
    duplicates_but_for_spaces: int  # the former among them
    not_alternating: int
    first_odd: str = ""  # the place of the first of them, and why

    @property
    def all(self) -> int:
        return self.rows + self.heldout


@dataclass(frozen=True, kw_only=True)
class Limited:
    """What becomes of the rows of a stage at its limit. `limit`: None for any length."""

    stage: str
    part: str
    bound: str  # the limit in words: sft.max_length=64
    limit: int | None
    rule: str
    rows: int  # that were measured
    cut: int  # their end is lost
    truncated: int  # their beginning is
    dropped: int
    same: int  # pairs among the dropped whose sides are the same after the cut
    tokens: Spread | None  # of what the limit bounds
    enough: int  # the lowest limit that loses no larger share than data.max_lost

    @property
    def lost(self) -> int:
        return self.cut + self.truncated + self.dropped

    @property
    def share(self) -> float:
        return self.lost / self.rows if self.rows else 0.0


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of held-out pairs that are ranked right, ties by one half. `se`: its standard error
    over prompts, as pairs of one prompt are not independent; None for one prompt."""

    accuracy: float
    se: float | None
    pairs: int
    prompts: int


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Length bias, in characters, and what rules without a model reach. None: not measured."""

    chosen_longer: float  # shares of all pairs
    rejected_longer: float
    longer_wins: Accuracy | None
    tfidf: Accuracy | None = None
    tfidf_and_length: Accuracy | None = None
    fitted_on: int = 0  # pairs


@dataclass(frozen=True, kw_only=True)
class Report:
    """`both_sides`: prompts that are to train on in one part and held out in another, or the same,
    by the parts' names; `shared`: prompts that two parts have in common."""

    data: str
    template: str
    parts: tuple[Part, ...]
    limits: tuple[Limited, ...]
    both_sides: Mapping[str, int]
    shared: Mapping[str, int]
    pairs: Pairs | None
    max_lost: float
    positions: int | None

    @property
    def leaks(self) -> int:
        return sum(self.both_sides.values())

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        plain = asdict(self)
        for limited, own in zip(plain["limits"], self.limits, strict=True):
            limited["lost_share"] = own.share
        return plain

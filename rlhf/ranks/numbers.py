"""Means and largest values over what all ranks have seen."""

from __future__ import annotations

from collections.abc import Mapping

from rlhf.functional.pooling import Mean
from rlhf.ranks.group import Ranks


def means_of_all(ranks: Ranks, means: Mapping[str, Mean]) -> dict[str, Mean]:
    """Each over what all ranks have counted."""
    if ranks.size == 1:
        return dict(means)
    totals = ranks.sum([float(mean.total) for mean in means.values()])
    counts = ranks.sum([float(mean.count) for mean in means.values()])
    return {n: Mean(*both) for n, *both in zip(means, totals, counts, strict=True)}


def largest_of_all(ranks: Ranks, largest: Mapping[str, float]) -> dict[str, float]:
    return dict(zip(largest, ranks.largest(list(largest.values())), strict=True))

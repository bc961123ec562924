"""The memory of a machine on which several processes train together."""

from __future__ import annotations

from dataclasses import replace

from rlhf.estimates.memory import FROZEN, Peak


def all_of(peak: Peak, processes: int) -> Peak:
    """The peak of so many processes, each of which has the given one; frozen weights that are
    mapped from files they have in common."""
    return replace(
        peak,
        terms=tuple(
            term
            if term.name == FROZEN and peak.mapped
            else replace(term, size=processes * term.size)
            for term in peak.terms
        ),
    )

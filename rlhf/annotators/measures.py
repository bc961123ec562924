"""What is measured of annotators: how often two agree, and how much the place of an answer
counts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rlhf.annotators.base import Annotator, Comparison


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """[N] each -> the probability that a vote by each of two annotators' preferences is the same,
    over all comparisons: mean of p q + (1 - p) (1 - q).

    Of votes it is the share that agrees, a tie agrees by half.
    """
    return (first * second + (1 - first) * (1 - second)).mean()


def position_bias(annotator: Annotator, comparisons: Sequence[Comparison]) -> Tensor:
    """[N] float64: how much more an answer is preferred for being shown first, (p + p') / 2 - 1/2.

    p is the preference for the one shown first, p' the same with the two swapped; 0 of an annotator
    that does not look at the place, 1/2 of one that always takes the first.
    """
    given = annotator.prefer(comparisons, None)
    swapped = annotator.prefer([each.swapped for each in comparisons], None)
    return (given + swapped) / 2 - 0.5

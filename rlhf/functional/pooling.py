"""Means whose sums are kept apart until the end. Over the micro-batches of a step and the steps of
an iteration numerators and denominators are added and divided once: a mean of means would count a
batch of one row as much as a batch of sixteen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.functional.masking import masked_sum


@dataclass(frozen=True)
class Mean:
    """total / count, each the sum over everything that was added; NaN where nothing counted."""

    total: Tensor | float
    count: Tensor | float

    @classmethod
    def of(cls, x: Tensor, mask: Tensor) -> Mean:
        """Over the entries of x [...] that count; the mask broadcasts to it. No gradient."""
        return cls(masked_sum(x.detach().double(), mask), mask.expand_as(x).sum())

    @classmethod
    def over(cls, mean: Tensor | float, count: Tensor | float) -> Mean:
        """Of `count` entries whose mean is known. No gradient."""
        wide = mean.detach().double() if isinstance(mean, Tensor) else mean
        return cls(wide * count, count)

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.count + other.count)

    def __float__(self) -> float:
        count = float(self.count)
        return float(self.total) / count if count else torch.nan


def pooled(parts: Iterable[Mean]) -> Mean:
    """The mean over all parts together."""
    return sum(parts, Mean(0.0, 0.0))

"""Means over the runs of a setting, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev


@dataclass(frozen=True)
class Estimate:
    """A mean over the runs of a setting. What is not known is nan."""

    mean: float
    std: float  # over runs, n - 1 in the denominator; nan for one run
    se: float  # of the mean
    n: int  # finite values
    lost: int = 0  # values that were not finite


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def single(value: float, se: float) -> Estimate:
    return Estimate(value, math.nan, se, 1)


def over_runs(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """Mean over runs that differ in the seed only: std / sqrt(n), or for one run its own standard
    error of the evaluation, from `ses` (nan if unknown)."""
    kept = [(v, se) for v, se in zip(values, ses, strict=True) if math.isfinite(v)]
    n, lost = len(kept), len(values) - len(kept)
    if n == 0:
        return replace(NOTHING, lost=lost)
    if n == 1:
        return replace(single(*kept[0]), lost=lost)
    std = stdev(v for v, _ in kept)
    return Estimate(fmean(v for v, _ in kept), std, std / math.sqrt(n), n, lost)


def same_thing(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """One quantity reported by several runs (the SFT policy's reward): no more certain for being
    repeated."""
    kept, known = (list(filter(math.isfinite, those)) for those in (values, ses))
    return single(fmean(kept), max(known, default=math.nan)) if kept else NOTHING

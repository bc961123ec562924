"""Means over seeds, and differences in standard errors. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A mean over the runs of a setting. What is not known is nan."""

    mean: float
    std: float  # over runs, n - 1 in the denominator; nan for one run
    se: float  # of the mean
    n: int  # finite values
    lost: int = 0  # values that were not finite

    @property
    def spread(self) -> float:
        """A bar's length: the standard deviation over runs, or one run's own standard error."""
        return self.std if self.n > 1 else self.se


NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


def single(value: float, se: float) -> Estimate:
    """One number with its own standard error."""
    return Estimate(value, math.nan, se, 1)


def over_runs(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """Mean over runs that differ in the seed only; `ses` are the runs' own standard errors (of the
    evaluation), nan if unknown.

    One run: its own. More: std / sqrt(n), but not less than sqrt(mean se^2 / n), the noise of
    evaluating alone: two seeds agree by chance often enough, and certainty must not come from that.
    """
    kept = [(v, s) for v, s in zip(values, ses, strict=True) if math.isfinite(v)]
    n, lost = len(kept), len(values) - len(kept)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, lost)
    mean = sum(v for v, _ in kept) / n
    known = [s * s for _, s in kept if math.isfinite(s)]
    evaluation = math.sqrt(sum(known) / len(known) / n) if known else math.nan
    if n == 1:
        return Estimate(mean, math.nan, evaluation, 1, lost)
    std = math.sqrt(sum((v - mean) ** 2 for v, _ in kept) / (n - 1))
    return Estimate(mean, std, max(std / math.sqrt(n), evaluation if known else 0.0), n, lost)


def same_thing(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """One quantity reported by several runs (the SFT policy's reward): no more certain for being
    repeated."""
    kept = [v for v in values if math.isfinite(v)]
    known = [s for s in ses if math.isfinite(s)]
    if not kept:
        return NOTHING
    return Estimate(sum(kept) / len(kept), math.nan, max(known) if known else math.nan, 1)


def gap(a: Estimate, b: Estimate) -> float:
    """(a - b) / sqrt(se_a^2 + se_b^2). nan where either is not known; infinite where neither has
    noise and they differ."""
    difference, noise = a.mean - b.mean, math.hypot(a.se, b.se)
    if math.isnan(difference) or math.isnan(noise):
        return math.nan
    if noise == 0.0:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / noise


def show(estimate: Estimate) -> str:
    """1.924 +- 0.031, with two digits of the standard error."""
    if not math.isfinite(estimate.mean):
        return "-"
    if not math.isfinite(estimate.se) or estimate.se <= 0:
        return f"{estimate.mean:.4g}"
    digits = min(max(1 - math.floor(math.log10(estimate.se)), 0), 6)
    return f"{estimate.mean:.{digits}f} ± {estimate.se:.{digits}f}"

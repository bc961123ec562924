"""Means over seeds, with their standard errors or with 95 % intervals: Student's t for one setting,
Welch's t for the difference of two. Pure functions of numbers.

An interval over seeds is for the prompts that were asked: these prompts are fixed, seeds are drawn.
Prompts that are drawn too are in rlhf.compare.statistics.prompts. Coverage by simulation:
benchmarks/coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import fmean, variance
from typing import Literal

Z95 = 1.959964  # standard normal quantile at 0.975
# over seeds; of the evaluation alone, which says nothing of other seeds; of one run and several,
# where the one is taken to vary over seeds as the several do; "": no noise was measured
Source = Literal["seeds", "evaluation", "seeds of one side", ""]
SEEDS: Source = "seeds"
EVALUATION: Source = "evaluation"
BORROWED: Source = "seeds of one side"
# the prompts that an interval speaks of: those that were asked, or the population that these were
# drawn from
Prompts = Literal["these prompts", "prompts like these"]
THESE: Prompts = "these prompts"
LIKE: Prompts = "prompts like these"


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
    kept = _finite(values, ses)
    n, lost = len(kept), len(values) - len(kept)
    if n == 0:
        return replace(NOTHING, lost=lost)
    if n == 1:
        return Estimate(*kept[0][:1], math.nan, kept[0][1], 1, lost)
    std = math.sqrt(variance([v for v, _ in kept]))
    return Estimate(_mean(kept), std, std / math.sqrt(n), n, lost)


def same_thing(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """One quantity reported by several runs (the SFT policy's reward): no more certain for being
    repeated."""
    kept = _finite(values, ses)
    known = (s for s in ses if math.isfinite(s))
    return Estimate(_mean(kept), math.nan, max(known, default=math.nan), 1) if kept else NOTHING


def gap(a: Estimate, b: Estimate) -> float:
    """(a - b) / sqrt(se_a^2 + se_b^2), of two evaluations. nan where either is not known; infinite
    where neither has noise and they differ."""
    difference, noise = a.mean - b.mean, math.hypot(a.se, b.se)
    if noise == 0.0 and not math.isnan(difference):
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / noise if noise else math.nan


def show(estimate: Estimate) -> str:
    """1.924 ± 0.031, with two digits of the standard error."""
    return _plus_minus(estimate.mean, estimate.se)


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie. `low` and `high` are nan where nothing is known of the noise."""

    mean: float
    low: float
    high: float
    n: int  # runs; of a difference those of the side with fewer
    source: Source
    prompts: Prompts = THESE

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def half(self) -> float:
        """Half of the width."""
        return (self.high - self.low) / 2

    @property
    def clear_of_zero(self) -> bool:
        return self.low > 0 or self.high < 0


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0, "")


def around(mean: float, half: float, n: int, source: Source, prompts: Prompts = THESE) -> Interval:
    """mean ± half; without a source where `half` is not known."""
    return Interval(
        mean, mean - half, mean + half, n, source if math.isfinite(half) else "", prompts
    )


def evaluated(estimate: Estimate) -> Interval:
    """One evaluation, ± 1.96 standard errors."""
    return around(estimate.mean, Z95 * estimate.se, estimate.n, EVALUATION)


def interval(values: Sequence[float], ses: Sequence[float]) -> Interval:
    """Mean over runs that differ in the seed. `ses`: the runs' own standard errors, nan if unknown.

    Two runs or more: Student's t, mean ± t_{n-1} s / sqrt(n). One run, or several that agree to the
    last digit: the evaluation, ± 1.96 sqrt(mean se^2 / n), which says nothing of other seeds.
    """
    kept = _finite(values, ses)
    n = len(kept)
    if n == 0:
        return UNKNOWN
    mean, spread = _mean(kept), seed_spread([[v for v, _ in kept]])
    if spread is None:
        return around(mean, Z95 * math.sqrt(_mean_variance(kept)), n, EVALUATION)
    return around(mean, critical(spread.df) * math.sqrt(spread.variance / n), n, SEEDS)


def difference(
    a: Sequence[float], a_ses: Sequence[float], b: Sequence[float], b_ses: Sequence[float]
) -> Interval:
    """mean(a) - mean(b) over independent runs: Welch's t (`seed_spread`, `pair_variance`).

    One run against several: the one is taken to vary over seeds as the several do, so that the
    half width is t_{n-1} s sqrt(1 + 1/n). One against one: 1.96 sqrt(se_a^2 + se_b^2), the
    evaluations alone.
    """
    samples = _finite(a, a_ses), _finite(b, b_ses)
    n = min(map(len, samples))
    if n == 0:
        return UNKNOWN
    mean = _mean(samples[0]) - _mean(samples[1])
    values = [[v for v, _ in sample] for sample in samples]
    spread = seed_spread(values)
    if spread is None:
        return around(mean, Z95 * math.sqrt(sum(map(_mean_variance, samples))), n, EVALUATION)
    half = critical(spread.df) * math.sqrt(pair_variance(values[0], values[1], spread))
    return around(mean, half, n, SEEDS if n > 1 else BORROWED)


@dataclass(frozen=True)
class Spread:
    """Variance over seeds, pooled over settings, and its degrees of freedom."""

    variance: float
    df: float


def seed_spread(samples: Sequence[Sequence[float]]) -> Spread | None:
    """The pooled variance of the samples; None where no two runs of one differ.

    With f_i = n_i - 1 and v_i = f_i s_i^2, the degrees of freedom are Welch's of 1947 (Biometrika
    34, 28-35), (sum v)^2 / sum(v_i^2 / (f_i + 2)) - 2, at most sum f_i: of one sample f, of samples
    that vary unequally fewer than their sum. (The commoner estimate, without the 2s, makes
    intervals of 2 + 2 runs cover 98 %.)
    """
    several = [sample for sample in samples if len(sample) > 1]
    sums = [(len(sample) - 1) * variance(sample) for sample in several]
    largest = max((abs(v) for sample in several for v in sample), default=0.0)
    if sum(sums) <= (1e-12 * largest) ** 2:
        return None
    freedoms = [len(sample) - 1 for sample in several]
    df = sum(sums) ** 2 / sum(v * v / (f + 2) for v, f in zip(sums, freedoms, strict=True)) - 2
    return Spread(sum(sums) / sum(freedoms), min(df, sum(freedoms)))


def pair_variance(a: Sequence[float], b: Sequence[float], spread: Spread) -> float:
    """Variance of mean(a) - mean(b): by the pooled variance, but not less than by the two's own;
    a sample of one run has the pooled one."""
    own = (variance(x) if len(x) > 1 else spread.variance for x in (a, b))
    pooled = spread.variance * (1 / len(a) + 1 / len(b))
    return max(pooled, sum(v / len(x) for v, x in zip(own, (a, b), strict=True)))


@lru_cache(maxsize=256)
def critical(df: float, means: int = 2) -> float:
    """The half width of a 95 % interval in standard errors: Student's t; of all differences among
    more than two `means` at once, the studentized range over sqrt(2) (Tukey, Kramer)."""
    from scipy.stats import studentized_range, t

    if means <= 2:
        return float(t.ppf(0.975, df))
    return float(studentized_range.ppf(0.95, means, df)) / math.sqrt(2)


def say(i: Interval) -> str:
    """1.57 (1.45 to 1.69), with the digits that the width deserves."""
    if not math.isfinite(i.mean):
        return "-"
    width = i.high - i.low
    if not math.isfinite(width) or width <= 0:
        return f"{i.mean:.4g}"
    # four digits of the mean say enough
    most = 3 - math.floor(math.log10(abs(i.mean))) if i.mean else 6
    digits = max(min(1 - math.floor(math.log10(width / 2)), most, 6), 0)
    # + 0.0: no -0.00
    mean, low, high = (f"{round(x, digits) + 0.0:.{digits}f}" for x in (i.mean, i.low, i.high))
    return f"{mean} ({low} to {high})"


def brief(i: Interval) -> str:
    """1.57 ± 0.12: ± is half of the 95 % interval."""
    return _plus_minus(i.mean, i.half)


def _plus_minus(mean: float, half: float) -> str:
    if not math.isfinite(mean):
        return "-"
    if not math.isfinite(half) or half <= 0:
        return f"{mean:.4g}"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 6)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def _mean(sample: list[tuple[float, float]]) -> float:
    return fmean(v for v, _ in sample)


def _finite(values: Sequence[float], ses: Sequence[float]) -> list[tuple[float, float]]:
    return [(v, s) for v, s in zip(values, ses, strict=True) if math.isfinite(v)]


def _mean_variance(sample: list[tuple[float, float]]) -> float:
    """Variance of the mean by the evaluations' noise alone; nan where no run knows its own."""
    known = [s * s for _, s in sample if math.isfinite(s)]
    return fmean(known) / len(sample) if known else math.nan

"""Means over seeds, with their standard errors or with 95 % intervals: Student's t for one setting,
Welch's t for the difference of two. Pure functions of numbers.

An interval over seeds is for the prompts that were asked: these prompts are fixed, seeds are drawn.
Prompts that are drawn too are in rlhf.compare.statistics.intervals. Coverage by simulation:
benchmarks/coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from rlhf.compare.quantiles import student, studentized_range
from rlhf.rundir.words import plus_minus as plus_minus

ENOUGH = 3  # runs of each of two settings from which on their own variances tell enough
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


def interval(values: Sequence[float], ses: Sequence[float], level: float = 0.95) -> Interval:
    """Mean over runs that differ in the seed. `ses`: the runs' own standard errors, nan if unknown.

    Two runs or more: Student's t, mean ± t_{n-1} s / sqrt(n). One run, or several that agree to the
    last digit: the evaluation, ± 1.96 sqrt(mean se^2 / n), which says nothing of other seeds.
    """
    kept = _finite(values, ses)
    n = len(kept)
    if n == 0:
        return UNKNOWN
    mean, spread = _mean(kept), pooled([[v for v, _ in kept]])
    if spread is None:
        noise = critical(math.inf, level=level) * math.sqrt(_mean_variance(kept))
        return around(mean, noise, n, EVALUATION)
    return around(mean, critical(spread.df, level=level) * math.sqrt(spread.variance / n), n, SEEDS)


def difference(
    a: Sequence[float],
    a_ses: Sequence[float],
    b: Sequence[float],
    b_ses: Sequence[float],
    means: int = 2,
) -> Interval:
    """mean(a) - mean(b) over independent runs: Welch's t (`seed_error`), or where the two were
    picked among `means`, wide enough for all of them (`critical`).

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
    error = seed_error(values[0], values[1], values)
    if error is None:
        noise = math.sqrt(sum(map(_mean_variance, samples)))
        return around(mean, critical(math.inf, means) * noise, n, EVALUATION)
    half = critical(error.df, means) * math.sqrt(error.variance)
    return around(mean, half, n, SEEDS if n > 1 else BORROWED)


@dataclass(frozen=True)
class Spread:
    """A variance by the spread over seeds, its degrees of freedom, and the level of an interval
    made of it."""

    variance: float
    df: float
    level: float = 0.95

    def half(self, means: int) -> float:
        """The half width of an interval that holds for all differences among `means` at once."""
        return critical(self.df, means, self.level) * math.sqrt(self.variance)


def pooled(samples: Sequence[Sequence[float]], kin: Sequence[str] = ()) -> Spread | None:
    """The variance over seeds, one for all samples; None where no two runs of one differ. `kin`:
    the samples of one name, whose runs are the same paths at several points, count as one sample
    of their mean variance."""
    groups: dict[str, list[Sequence[float]]] = {}
    for name, sample in zip(kin or map(str, range(len(samples))), samples, strict=True):
        groups.setdefault(name, []).extend([sample] if len(sample) > 1 else [])
    several = list(filter(None, groups.values()))
    sums = (fmean(map(_squares, those)) for those in several)
    parts = [*zip(sums, (fmean(len(x) - 1 for x in those) for those in several), strict=True)]
    largest = max((abs(v) for those in several for x in those for v in x), default=0)
    total = sum(v for v, _ in parts)
    if total <= (1e-12 * largest) ** 2:
        return None
    return Spread(total / sum(f for _, f in parts), freedom(parts))


def _squares(values: Sequence[float]) -> float:
    """The sum of squares of what they differ from their mean. (`statistics.variance` computes in
    fractions, ten times as long.)"""
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)


def freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Welch's degrees of freedom of a sum of variances v_i with f_i each (1947, Biometrika 34,
    28-35): 1 / sum(w_i^2 / (f_i + 2)) - 2 with w_i = v_i / sum v, at most sum f_i.

    Of one variance f; of unequal ones fewer than their sum. (The commoner estimate, without the 2s,
    makes intervals of 2 + 2 runs cover 98 %.)
    """
    total = sum(v for v, _ in parts)
    df = 1 / sum((v / total) ** 2 / (f + 2) for v, f in parts) - 2
    return min(df, sum(f for _, f in parts))


def seed_error(
    a: Sequence[float],
    b: Sequence[float],
    samples: Sequence[Sequence[float]],
    kin: Sequence[str] = (),
) -> Spread | None:
    """The variance of mean(a) - mean(b), and Welch's degrees of freedom of it. None where nothing
    is known of seeds. `kin`: as in `pooled`.

    It is that pooled over `samples`, the two among them, but not less than the two's own (Tukey,
    Kramer); a sample of one run has the pooled one. Among more than two samples and with
    three runs or more on both sides it is that or the two's own (Games and Howell), whichever gives
    the narrower interval at 97.5 %: one of the two misses in 5 % at most, and a setting that varies
    much more than the others hides no difference between them.
    """
    every = pooled(samples, kin)
    if every is None:
        return None
    own = [
        ((_squares(x) / (len(x) - 1) if len(x) > 1 else every.variance) / len(x), len(x) - 1)
        for x in (a, b)
    ]
    theirs = sum(v for v, _ in own)
    either = max(theirs, every.variance * (1 / len(a) + 1 / len(b)))
    if len(samples) == 2 and min(len(a), len(b)) > 1:
        return Spread(either, freedom(own))
    if min(len(a), len(b)) < ENOUGH or theirs == 0:
        return Spread(either, every.df)
    choices = Spread(either, every.df, 0.975), Spread(theirs, freedom(own), 0.975)
    return min(choices, key=lambda spread: spread.half(len(samples)))


def critical(df: float, means: int = 2, level: float = 0.95) -> float:
    """The half width of an interval in standard errors: Student's t; of all differences among
    more than two `means` at once, the studentized range over sqrt(2) (Tukey, Kramer), with the
    degrees of freedom rounded down to quarters, so that few of them are computed."""
    if means <= 2:
        return student((1 + level) / 2, df)
    quarters = df if math.isinf(df) else max(math.floor(4 * df) / 4, 1.0)
    return studentized_range(level, means, quarters) / math.sqrt(2)


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
    return plus_minus(i.mean, i.half)


def _mean(sample: list[tuple[float, float]]) -> float:
    return fmean(v for v, _ in sample)


def _finite(values: Sequence[float], ses: Sequence[float]) -> list[tuple[float, float]]:
    return [(v, s) for v, s in zip(values, ses, strict=True) if math.isfinite(v)]


def _mean_variance(sample: list[tuple[float, float]]) -> float:
    """Variance of the mean by the evaluations' noise alone; nan where no run knows its own."""
    known = [s * s for _, s in sample if math.isfinite(s)]
    return fmean(known) / len(sample) if known else math.nan

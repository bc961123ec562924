"""Means over seeds: with their standard errors, or with a 95 % interval, by a bootstrap over seeds
where there are seeds and else by the noise of the evaluation. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

Z95 = 1.959964  # standard normal quantile at 0.975
RESAMPLES = 5000
SEEDS, EVALUATION, BOTH = "seeds", "evaluation", "seeds and evaluation"


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
    return Estimate(value, math.nan, se, 1)


def over_runs(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """Mean over runs that differ in the seed only; `ses` are the runs' own standard errors (of the
    evaluation), nan if unknown.

    One run: its own. More: std / sqrt(n), but not less than sqrt(mean se^2 / n), the noise of
    evaluating alone: two seeds agree by chance often enough, and certainty must not come from that.
    """
    kept = _finite(values, ses)
    n, lost = len(kept), len(values) - len(kept)
    if n == 0:
        return replace(NOTHING, lost=lost)
    mean, evaluation = _mean(kept), math.sqrt(_mean_variance(kept))
    if n == 1:
        return Estimate(mean, math.nan, evaluation, 1, lost)
    std = math.sqrt(sum((v - mean) ** 2 for v, _ in kept) / (n - 1))
    noise = 0.0 if math.isnan(evaluation) else evaluation
    return Estimate(mean, std, max(std / math.sqrt(n), noise), n, lost)


def same_thing(values: Sequence[float], ses: Sequence[float]) -> Estimate:
    """One quantity reported by several runs (the SFT policy's reward): no more certain for being
    repeated."""
    kept = _finite(values, ses)
    known = (s for s in ses if math.isfinite(s))
    return Estimate(_mean(kept), math.nan, max(known, default=math.nan), 1) if kept else NOTHING


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


@dataclass(frozen=True)
class Interval:
    """A mean and where it may lie. `low` and `high` are nan where nothing is known of the noise."""

    mean: float
    low: float
    high: float
    n: int  # runs; of a difference those of the side with fewer
    # SEEDS, EVALUATION, BOTH (a difference of one run and several) or "" (no noise measured)
    source: str

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def clear_of_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def interval(values: Sequence[float], ses: Sequence[float]) -> Interval:
    """Mean over runs that differ in the seed. `ses`: the runs' own standard errors, nan if unknown.

    Two runs or more: percentile bootstrap of the mean, and never narrower than 1.96 sqrt(mean se^2
    / n), the noise of evaluating alone. With two or three runs a bootstrap is the range of the runs
    and holds the true mean less often than 95 times in 100. One run: its evaluation, mean +- 1.96
    se, which says nothing of other seeds.
    """
    return difference(values, ses, None, None)


def difference(
    a: Sequence[float],
    a_ses: Sequence[float],
    b: Sequence[float] | None,
    b_ses: Sequence[float] | None,
) -> Interval:
    """mean(a) - mean(b) over independent runs, with the rules of `interval`; `b` None: mean(a).

    One run against several: the half widths of the several's interval and 1.96 se of the one, added
    in quadrature. Nothing is known where the one's se is not.
    """
    samples = [_finite(a, a_ses)] + ([] if b is None or b_ses is None else [_finite(b, b_ses)])
    n = min(len(sample) for sample in samples)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, "")
    if n == 1 < max(len(sample) for sample in samples):
        return _one_and_several(samples)
    mean = _less([_mean(sample) for sample in samples])
    noise = Z95 * math.sqrt(sum(_mean_variance(sample) for sample in samples))
    if n == 1:
        return Interval(
            mean, mean - noise, mean + noise, 1, EVALUATION if math.isfinite(noise) else ""
        )
    low, high = _bootstrap([[v for v, _ in sample] for sample in samples])
    known = noise if math.isfinite(noise) else 0.0
    return Interval(mean, min(low, mean - known), max(high, mean + known), n, SEEDS)


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


def welch(a: Sequence[float], b: Sequence[float]) -> float:
    """p of Welch's t-test that two groups of runs have the same mean; nan with fewer than two
    runs in one, or no spread in either."""
    from scipy.stats import ttest_ind_from_stats

    a, b = ([x for x in sample if math.isfinite(x)] for sample in (a, b))
    if min(len(a), len(b)) < 2 or all(
        stdev(sample) <= 1e-12 * max(map(abs, sample)) for sample in (a, b)
    ):
        return math.nan
    return float(
        ttest_ind_from_stats(
            fmean(a), stdev(a), len(a), fmean(b), stdev(b), len(b), equal_var=False
        ).pvalue
    )


def _one_and_several(samples: list[list[tuple[float, float]]]) -> Interval:
    a, b = (interval([v for v, _ in sample], [s for _, s in sample]) for sample in samples)
    mean = a.mean - b.mean
    low = mean - math.hypot(a.mean - a.low, b.high - b.mean)
    high = mean + math.hypot(a.high - a.mean, b.mean - b.low)
    return Interval(mean, low, high, 1, BOTH if math.isfinite(low + high) else "")


def _bootstrap(samples: list[list[float]]) -> tuple[float, float]:
    import numpy as np
    from scipy.stats import bootstrap

    if all(len(set(sample)) == 1 for sample in samples):
        return (_less([sample[0] for sample in samples]),) * 2

    def statistic(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(_less([x.mean(axis=axis) for x in drawn]))

    means = bootstrap(
        samples, statistic, method="percentile", n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    )
    return float(means.confidence_interval.low), float(means.confidence_interval.high)


def _less(means: list[float]) -> float:
    """The first less the second, where there is one."""
    return means[0] if len(means) == 1 else means[0] - means[1]


def _mean(sample: list[tuple[float, float]]) -> float:
    return sum(v for v, _ in sample) / len(sample)


def _finite(values: Sequence[float], ses: Sequence[float]) -> list[tuple[float, float]]:
    return [(v, s) for v, s in zip(values, ses, strict=True) if math.isfinite(v)]


def _mean_variance(sample: list[tuple[float, float]]) -> float:
    """Variance of the mean by the evaluations' noise alone; nan where no run knows its own."""
    known = [s * s for _, s in sample if math.isfinite(s)]
    return sum(known) / len(known) / len(sample) if known else math.nan

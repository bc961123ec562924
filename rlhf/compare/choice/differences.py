"""One candidate's number less another's, with its standard error and a 95 % interval at these
prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlhf.compare.choice.candidates import Candidate
from rlhf.compare.statistics.estimates import (
    BORROWED,
    EVALUATION,
    SEEDS,
    Interval,
    Source,
    around,
    critical,
    seed_error,
)
from rlhf.compare.statistics.intervals import answers


@dataclass(frozen=True, kw_only=True)
class Difference:
    """`error`: the standard error of the mean, nan where none is known."""

    interval: Interval
    error: float

    @property
    def mean(self) -> float:
        return self.interval.mean


def less(a: Candidate, b: Candidate, key: str) -> Difference:
    """a less b.

    Policies that came out of the same trainings (points of one path, lambdas of one run) are not
    independent: their differences, one a training, have Student's t over them. One policy each: the
    differences prompt by prompt, where both kept them. All others: Welch's t over seeds, or the
    evaluations' errors where each has one seed.
    """
    pairs = _pairs(a, b, key)
    n, mean = min(len(a.policies), len(b.policies)), a.mean(key) - b.mean(key)
    if len(pairs) > 1:
        error = stdev(pairs) / math.sqrt(len(pairs))
        return _of(fmean(pairs), error, len(pairs) - 1, len(pairs), SEEDS)
    if n == len(a.policies) == len(b.policies) == 1:
        return _one_each(a, b, key, mean)
    (xs, _), (ys, _) = _finite(a, key), _finite(b, key)
    spread = seed_error(xs, ys, [xs, ys]) if xs and ys else None
    if spread is None:
        return _evaluated(a, b, key, mean)
    return _of(mean, math.sqrt(spread.variance), spread.df, n, SEEDS if n > 1 else BORROWED)


def _pairs(a: Candidate, b: Candidate, key: str) -> list[float]:
    """The differences of the policies that came out of one training; none where a policy of either
    has no other of the same."""
    sides = [{p.origin: p.values.get(key, math.nan) for p in c.policies} for c in (a, b)]
    if sides[0].keys() != sides[1].keys():
        return []
    pairs = [sides[0][origin] - sides[1][origin] for origin in sides[0]]
    return pairs if all(map(math.isfinite, pairs)) else []


def _one_each(a: Candidate, b: Candidate, key: str, mean: float) -> Difference:
    sides = [answers(c.setting.runs, key) for c in (a, b) if c.share is None]
    if len(sides) == 2 and sides[0] is not None and sides[1] is not None:
        paired = sides[0].less(sides[1])
        if paired is not None:
            weighted = paired.values[0] - paired.values[0] @ paired.weights
            count = len(paired.weights)
            squares = float((paired.weights**2 * weighted**2).sum())
            error = math.sqrt(squares * count / (count - 1))
            return _of(mean, error, paired.freedom, 1, EVALUATION)
    return _evaluated(a, b, key, mean)


def _evaluated(a: Candidate, b: Candidate, key: str, mean: float) -> Difference:
    """By the evaluations' own errors, which say nothing of other seeds."""
    variances = [fmean(se * se for se in _finite(c, key)[1]) / len(c.policies) for c in (a, b)]
    return _of(mean, math.sqrt(sum(variances)), math.inf, 1, EVALUATION)


def _of(mean: float, error: float, df: float, n: int, source: Source) -> Difference:
    half = critical(df) * error
    return Difference(interval=around(mean, half, n, source), error=error)


def _finite(candidate: Candidate, key: str) -> tuple[list[float], Sequence[float]]:
    values, errors = candidate.column(key)
    kept = [(v, e) for v, e in zip(values, errors, strict=True) if math.isfinite(v)]
    return [v for v, _ in kept], [e for _, e in kept] or [math.nan]

"""A run's reward at a given KL, read off everything that it recorded: a local fit of reward against
sqrt(KL), through its evaluations and its training rollouts.

Evaluations are few and on the held-out prompts; a rollout is recorded every iteration, on the
training prompts. Both were made of one policy wherever a rollout followed an evaluation: the mean
difference of these pairs moves the rollouts to the level of the evaluations, in reward (a shift)
and in sqrt(KL) (a factor). `benchmarks/matched_kl.py` holds the reading against a known curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlhf.compare.quantiles import chi2_above
from rlhf.compare.read import Evaluation, Run, evaluations, rollouts

if TYPE_CHECKING:
    import numpy as np

WINDOW = 0.5  # of sqrt(KL) on either side: what enters a fit
NEAREST = 20  # at most, by iteration: the policies around the last time that KL was passed
BESIDE = 2.0  # a factor: on each side of a KL something must lie nearer than that
NEAR = 0.1  # a run that came within this share of a KL is read at its furthest, marked
CURVED = 6  # points from which on a fit is a parabola; fewer: a straight line in sqrt(KL)
PAIRED = 0.1  # nats: nearer to SFT a pair says nothing of the KL's factor
MISFIT = 0.01  # p of residuals below which they, not the measured errors, say how large errors are
FREE = 4  # degrees of freedom from which on residuals alone tell of an error
LEAST = 1e-3  # of the usual standard error: none counts as smaller


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A run's reward at a KL, with the standard error of the fit."""

    kl: float  # asked for, or the furthest where `short`
    reward: float
    reward_se: float  # nan where neither errors nor residuals tell of it
    iteration: float  # the last at which that KL was passed
    share: float  # of the run's training, 1 at its end
    short: bool  # it never came to that KL, only near
    points: int  # evaluations and rollouts in the fit


@dataclass(frozen=True, kw_only=True)
class Trail:
    """What a run recorded of one reward, by iteration; an evaluation before the rollout of the same
    policy. Rollouts are moved to the level of the evaluations."""

    iteration: np.ndarray  # [N]
    d: np.ndarray  # [N] sqrt(KL)
    reward: np.ndarray  # [N]
    variance: np.ndarray  # [N] of the reward, 1 everywhere where no error is known
    d_variance: np.ndarray  # [N]
    moved: np.ndarray  # [N, N]: rewards as recorded -> `reward`
    measured: bool  # whether errors are known

    @property
    def furthest(self) -> float:
        """The largest KL, nats; nan where there is none."""
        return round(float(self.d.max() ** 2), 9) if len(self.d) else math.nan

    def climb(self, kl: float) -> int:
        """Where the way to a KL begins: at the last point below half of it. A KL that training took
        back, early or late, is no way to it."""
        import numpy as np

        below = np.flatnonzero(self.d**2 < kl / 2)
        return int(below[-1]) if len(below) else 0


def trail(run: Run, key: str) -> Trail:
    return follow([*evaluations(run, key), *rollouts(run, key)])


def follow(points: Sequence[Evaluation]) -> Trail:
    """The trail of points in any order."""
    import numpy as np

    rows = sorted(points, key=lambda e: (e.iteration, e.rollout))
    d, reward = np.sqrt([e.kl for e in rows]), np.array([e.reward for e in rows])
    ses = np.array([e.reward_se for e in rows])
    usual = float(np.median(ses[ses > 0])) if (ses > 0).any() else 1.0
    # infinite weights are no weights: an error is never smaller than a thousandth of the usual one
    variance = np.maximum(np.where(np.isfinite(ses), ses, usual), LEAST * usual) ** 2
    kl_ses = np.nan_to_num([e.kl_se for e in rows])
    d_variance = (kl_ses / (2 * np.where(d > 0, d, np.inf))) ** 2  # the delta method
    held = {e.iteration: i for i, e in enumerate(rows) if not e.rollout}
    pairs = [
        (held[e.iteration], i) for i, e in enumerate(rows) if e.rollout and e.iteration in held
    ]
    rolled, moved = np.array([e.rollout for e in rows], dtype=bool), np.eye(len(rows))
    if pairs:
        evaluated, followed = np.array(pairs).T
        far = np.minimum(d[evaluated], d[followed]) ** 2 >= PAIRED
        if far.any():
            d = np.where(rolled, d * (d[evaluated][far].sum() / d[followed][far].sum()), d)
        weights = 1 / (variance[evaluated] + variance[followed])
        moved[np.ix_(rolled, evaluated)] += weights / weights.sum()
        moved[np.ix_(rolled, followed)] -= weights / weights.sum()
    return Trail(
        iteration=np.array([e.iteration for e in rows], dtype=float),
        d=d,
        reward=moved @ reward,
        variance=variance,
        d_variance=d_variance,
        moved=moved,
        measured=bool((ses > 0).any()),
    )


def read_at(way: Trail, kl: float) -> Reached | None:
    """A run's reward at the last moment of training when its KL was `kl`.

    A least-squares parabola in sqrt(KL) (a straight line through fewer than 6 points), weighted by
    1 / variance and tricube of the distance (Cleveland 1979), through what lies within half of
    sqrt(kl) and, of that, the 20 points nearest in time to the last passing. The noise of the KL
    counts as slope^2 times its variance. Nothing is read where no point lies within a factor of 2
    of `kl` on each side; a run that came within a tenth of it is read at its furthest, marked.
    """
    import numpy as np

    goal, first = math.sqrt(kl), way.climb(kl)
    there = way.d[first:]
    crossed = np.flatnonzero((there[:-1] - goal) * (there[1:] - goal) <= 0)
    near = np.flatnonzero((there**2 >= (1 - NEAR) * kl) & (there <= goal))
    if len(crossed):
        last = slice(first + crossed[-1], first + crossed[-1] + 2)
        order = np.argsort(way.d[last])
        when = float(np.interp(goal, way.d[last][order], way.iteration[last][order]))
    elif len(near):
        when = float(way.iteration[first + near[-1]])
    else:
        return None
    inside = np.flatnonzero(np.abs(way.d - goal) < WINDOW * goal)
    order = np.argsort(np.abs(way.iteration[inside] - when), kind="stable")
    chosen = inside[order[:NEAREST]]
    d, beside = way.d[chosen], math.sqrt(BESIDE)
    short = not len(crossed)
    if not ((goal / beside <= d) & (d <= goal)).any():
        return None
    if not short and not ((goal <= d) & (d <= goal * beside)).any():
        return None
    at = min(goal, float(d.max())) if short else goal
    reward, se = _local(way, chosen, at, WINDOW * goal)
    return Reached(
        kl=at**2,
        reward=reward,
        reward_se=se,
        iteration=when,
        share=when / max(float(way.iteration.max()), 1.0),
        short=short,
        points=len(chosen),
    )


def _local(way: Trail, chosen: np.ndarray, at: float, width: float) -> tuple[float, float]:
    """The fit's value at sqrt(KL) = `at`, and its standard error: that of the measured errors,
    times sqrt(chi^2 / df) where chance would leave such residuals in less than 1 of 100 fits, and
    where no error is known."""
    import numpy as np

    u = (way.d[chosen] - at) / width
    degree = 2 if len(chosen) >= CURVED else min(1, len(chosen) - 1)
    powers = np.vander(u, degree + 1, increasing=True)
    kernel = (1 - np.minimum(np.abs(u), 1 - 1e-6) ** 3) ** 3
    variance = way.variance.copy()
    solver = _solve(powers, kernel / variance[chosen])
    if degree and way.measured:
        slope = float(solver[1] @ way.reward[chosen]) / width
        variance += slope**2 * way.d_variance
        solver = _solve(powers, kernel / variance[chosen])
    coefficients = solver @ way.reward[chosen]
    shares = solver[0] @ way.moved[chosen]  # of every reward as recorded
    error = float(shares**2 @ variance)
    free = len(chosen) - degree - 1
    residuals = way.reward[chosen] - powers @ coefficients
    scale = _scale(float((residuals**2 / variance[chosen]).sum()), free, way.measured)
    return float(coefficients[0]), math.sqrt(error * scale)


def _scale(chi2: float, free: int, measured: bool) -> float:
    if not measured:
        return chi2 / free if free >= FREE else math.nan
    return chi2 / free if free and chi2_above(chi2, free) < MISFIT else 1.0


def _solve(powers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[degree + 1, N]: rewards -> coefficients of weighted least squares."""
    import numpy as np

    roots = np.sqrt(weights / weights.max())
    solver: np.ndarray = np.linalg.pinv(powers * roots[:, None]) * roots
    return solver

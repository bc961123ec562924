"""The fall of gold reward as the policy leaves SFT: the forms of Gao et al. (arXiv
2210.10760), fitted.

With d = sqrt(KL), and gains over SFT:  R_rl(d) = d (alpha - beta log d),  R_bon(d) = d (alpha -
beta d). Both are linear in alpha and beta, so the fit is ordinary least squares. Points of one run
are not independent, and all gains share the error of SFT's own reward: intervals come from a
jackknife over whole runs, with that error added (benchmarks/gao_fit.py holds them against known
parameters).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlhf.compare.quantiles import student
from rlhf.compare.read import Kept, Run, evaluations
from rlhf.compare.statistics.means import NOTHING, Estimate, same_thing, single
from rlhf.metrics import GOLD, PROXY

if TYPE_CHECKING:
    import numpy as np

Form = Literal["rl", "best_of_n"]
FORMULAS: dict[Form, str] = {"rl": "d (α − β log d)", "best_of_n": "d (α − β d)"}
MIN_KL = 0.1  # nats: nearer to SFT there is nothing but noise
MIN_POINTS = 6
MIN_SPAN = 2.0  # largest d over smallest
MIN_RUNS = 4  # for intervals: fewer runs do not say how much runs differ
LOOSE = 0.5  # R^2 below which one curve does not hold for the runs, and has no peak worth a mark

Bounds = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """alpha and beta, with 95 % intervals over runs that differ as these do; None below 4 runs."""

    form: Form
    alpha: float
    beta: float
    alpha_interval: Bounds | None
    beta_interval: Bounds | None
    peak_interval: Bounds | None  # nats; None also where beta may be 0
    runs: int
    points: int
    r2: float  # share of the variance around the mean that the form explains
    furthest: float  # largest KL among the points, nats
    start: Estimate = NOTHING  # SFT's reward, which the gains are over

    def gain(self, kl: float) -> float:
        return gain(self.form, self.alpha, self.beta, kl)

    @property
    def peak_kl(self) -> float:
        """KL of the highest gain: d = exp(alpha / beta - 1) (rl), alpha / (2 beta) (best of n).
        nan where the form has no peak."""
        return _peak(self.form, self.alpha / self.beta) if self.beta > 0 else math.nan

    @property
    def peak(self) -> float | None:
        """`peak_kl` where the runs tell of one: among the data, with an R^2 of at least 0.5, and an
        interval of beta above 0."""
        sure = self.peak_interval is not None and self.r2 >= LOOSE
        return self.peak_kl if sure and self.peak_kl <= self.furthest else None


def _peak(form: Form, ratio: float) -> float:
    """The KL of the peak by alpha / beta, in which it rises."""
    d = math.exp(min(ratio - 1, 50.0)) if form == "rl" else ratio / 2
    return d * d if d > 0 else math.nan


def gain(form: Form, alpha: float, beta: float, kl: float) -> float:
    """R(d) at d = sqrt(kl); 0 at kl = 0."""
    d = math.sqrt(max(kl, 0.0))
    if d == 0.0:
        return 0.0
    return d * (alpha - beta * (math.log(d) if form == "rl" else d))


def fit(
    runs: Sequence[Sequence[tuple[float, float]]], form: Form = "rl", start: Estimate = NOTHING
) -> Fit | str:
    """Fit one form to (KL, gain over SFT) points, grouped by run. A sentence says why where
    there are too few. `start`: SFT's reward, whose error all gains share; where its error is not
    known there are no intervals."""
    import numpy as np

    beyond = ([(kl, y) for kl, y in run if kl >= MIN_KL and math.isfinite(y)] for run in runs)
    kept = list(filter(None, beyond))
    points = np.array([point for run in kept for point in run]).reshape(-1, 2)
    if len(points) < MIN_POINTS:
        return f"{len(points)} evaluations lie beyond {MIN_KL:g} nats; a fit needs {MIN_POINTS}."
    d = np.sqrt(points[:, 0])
    if d.max() < MIN_SPAN * d.min():
        return (
            f"The evaluations reach from {d.min() ** 2:.2g} to {d.max() ** 2:.2g} nats, too near"
            " together to tell a rise from a fall."
        )
    pieces = np.stack([_normal(form, np.array(run)) for run in kept])
    alpha, beta = map(float, _solved(pieces.sum(axis=0)))
    residuals = points[:, 1] - np.array([gain(form, alpha, beta, kl) for kl in points[:, 0]])
    enough = len(kept) >= MIN_RUNS and math.isfinite(start.se)
    intervals = _intervals(form, pieces, start.se) if enough else (None, None, None)
    spread = float(((points[:, 1] - points[:, 1].mean()) ** 2).sum())
    return Fit(
        form=form,
        alpha=alpha,
        beta=beta,
        alpha_interval=intervals[0],
        beta_interval=intervals[1],
        peak_interval=intervals[2],
        runs=len(kept),
        points=len(points),
        r2=1 - float((residuals**2).sum()) / spread if spread > 0 else math.nan,
        furthest=float(points[:, 0].max()),
        start=start,
    )


def gold_start(runs: Sequence[Run], measured: Sequence[Kept]) -> Estimate:
    """Gold of the SFT policy that all runs began from: by best of n at n = 1, which draws many
    responses, or by the runs' first evaluation, whichever has the smaller error."""
    firsts = [path[0] for run in runs if (path := evaluations(run, GOLD))]
    evaluated = same_thing([e.reward for e in firsts], [e.reward_se for e in firsts])
    ones = (kept for kept in measured if kept.n == 1 and GOLD in kept.rewards)
    drawn = next((single(k.rewards[GOLD], k.errors.get(GOLD, math.nan)) for k in ones), NOTHING)
    return drawn if drawn.se < evaluated.se or math.isnan(evaluated.mean) else evaluated


def gap_path(run: Run) -> list[tuple[float, float]]:
    """(KL, proxy - gold, both as gains over the run's first evaluation)."""
    gold = {e.iteration: e.reward for e in evaluations(run, GOLD)}
    both = [
        (e.kl, e.reward - gold[e.iteration]) for e in evaluations(run, PROXY) if e.iteration in gold
    ]
    return [(kl, y - both[0][1]) for kl, y in both]


def gold_gains(run: Run, start: float = math.nan) -> list[tuple[float, float]]:
    """(KL, gold less `start`, or less the run's first evaluation, which is SFT's, where that is not
    known), without that first one."""
    path = evaluations(run, GOLD)
    base = path[0].reward if path and math.isnan(start) else start
    return [(e.kl, e.reward - base) for e in path[1:]]


def _normal(form: Form, points: np.ndarray) -> np.ndarray:
    """One run's share of the normal equations, [2, 4]: X^T X, X^T y, X^T 1."""
    import numpy as np

    d = np.sqrt(points[:, 0])
    x = np.stack([d, -d * (np.log(d) if form == "rl" else d)], axis=1)
    return np.concatenate([x.T @ x, (x.T @ points[:, 1])[:, None], x.sum(axis=0)[:, None]], axis=1)


def _solved(normal: np.ndarray) -> np.ndarray:
    """[..., 2, 4] -> alpha and beta, [..., 2]; by the pseudo-inverse where runs are too alike."""
    import numpy as np

    solved: np.ndarray = (np.linalg.pinv(normal[..., :2]) @ normal[..., 2:3])[..., 0]
    return solved


def _intervals(
    form: Form, pieces: np.ndarray, start_se: float
) -> tuple[Bounds, Bounds, Bounds | None]:
    """95 % intervals of alpha, beta and the peak; `pieces` [R, 2, 4], one a run.

    Covariance: (R-1)/R sum_r (e_r - e)(e_r - e)^T with e_r the estimate without run r (the
    jackknife, Efron and Stein 1981), and start_se^2 g g^T with g the gradient by a shift of all
    gains. Student's t with R - 1 degrees of freedom, more where the start's error, which is known,
    is most of it (Satterthwaite). Of the peak: Fieller's, of alpha / beta.
    """
    import numpy as np

    total, count = pieces.sum(axis=0), len(pieces)
    estimate, without = _solved(total), _solved(total - pieces)
    among = (count - 1) / count * (without - estimate).T @ (without - estimate)
    gradient = np.linalg.pinv(total[:, :2]) @ total[:, 3]
    covariance = among + start_se**2 * np.outer(gradient, gradient)
    bounds = []
    for i in range(2):
        share = covariance[i, i] / max(among[i, i], 1e-300)
        reach = student(0.975, (count - 1) * share**2) * math.sqrt(covariance[i, i])
        bounds.append((float(estimate[i] - reach), float(estimate[i] + reach)))
    ratios = _fieller(estimate, covariance, student(0.975, count - 1))
    peaks = None if ratios is None else (_peak(form, ratios[0]), _peak(form, ratios[1]))
    return bounds[0], bounds[1], peaks


def _fieller(estimate: np.ndarray, covariance: np.ndarray, quantile: float) -> Bounds | None:
    """The ratios r for which alpha - r beta does not differ from 0; None where beta may be 0."""
    (a, b), v = estimate, covariance * quantile**2
    square, middle, constant = b * b - v[1, 1], a * b - v[0, 1], a * a - v[0, 0]
    if b <= 0 or square <= 0:
        return None
    root = math.sqrt(max(middle * middle - square * constant, 0.0))
    return float((middle - root) / square), float((middle + root) / square)

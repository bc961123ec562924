"""The fall of gold reward as the policy leaves SFT: the forms of Gao et al. (arXiv
2210.10760), fitted.

With d = sqrt(KL), and gains over SFT:  R_rl(d) = d (alpha - beta log d),  R_bon(d) = d (alpha -
beta d). Both are linear in alpha and beta, so the fit is ordinary least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlhf.compare.read import Run, evaluations
from rlhf.metrics import GOLD, PROXY

if TYPE_CHECKING:
    import numpy as np

Form = Literal["rl", "best_of_n"]
FORMULAS: dict[Form, str] = {"rl": "d (α − β log d)", "best_of_n": "d (α − β d)"}
MIN_KL = 0.1  # nats: nearer to SFT there is nothing but noise
MIN_POINTS = 6
MIN_SPAN = 2.0  # largest d over smallest
BOOTSTRAPPED = 4  # runs from which on the intervals are a bootstrap over runs
RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Fit:
    """alpha and beta with 95 % intervals. `over_runs`: from a bootstrap over runs; else from the
    residuals of dependent points."""

    form: Form
    alpha: float
    beta: float
    alpha_interval: tuple[float, float]
    beta_interval: tuple[float, float]
    over_runs: bool
    points: int
    r2: float  # share of the variance around the mean that the form explains
    furthest: float  # largest KL among the points, nats

    def gain(self, kl: float) -> float:
        return gain(self.form, self.alpha, self.beta, kl)

    @property
    def peak_kl(self) -> float:
        """KL of the highest gain: d = exp(alpha / beta - 1) (rl), alpha / (2 beta) (best of n).
        nan where the form has no peak."""
        if self.beta <= 0:
            return math.nan
        d = (
            math.exp(min(self.alpha / self.beta - 1, 50.0))
            if self.form == "rl"
            else self.alpha / (2 * self.beta)
        )
        return d * d if d > 0 else math.nan


def gain(form: Form, alpha: float, beta: float, kl: float) -> float:
    """R(d) at d = sqrt(kl); 0 at kl = 0."""
    d = math.sqrt(max(kl, 0.0))
    if d == 0.0:
        return 0.0
    return d * (alpha - beta * (math.log(d) if form == "rl" else d))


def fit(runs: Sequence[Sequence[tuple[float, float]]], form: Form = "rl") -> Fit | str:
    """Fit one form to (KL, gain over SFT) points, grouped by run. A sentence says why where
    there are too few."""
    import numpy as np
    from scipy.linalg import inv

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
    pieces = [_normal(form, np.array(run)) for run in kept]
    total = sum(pieces[1:], start=pieces[0])
    inverse = inv(total[:, :2])
    alpha, beta = map(float, inverse @ total[:, 2])
    residuals = points[:, 1] - np.array([gain(form, alpha, beta, kl) for kl in points[:, 0]])
    over_runs = len(kept) >= BOOTSTRAPPED
    intervals = (
        _over_runs(pieces) if over_runs else _from_residuals((alpha, beta), inverse, residuals)
    )
    spread = float(((points[:, 1] - points[:, 1].mean()) ** 2).sum())
    return Fit(
        form=form,
        alpha=alpha,
        beta=beta,
        alpha_interval=intervals[0],
        beta_interval=intervals[1],
        over_runs=over_runs,
        points=len(points),
        r2=1 - float((residuals**2).sum()) / spread if spread > 0 else math.nan,
        furthest=float(points[:, 0].max()),
    )


def gap_path(run: Run) -> list[tuple[float, float]]:
    """(KL, proxy - gold, both as gains over the run's first evaluation)."""
    gold = {e.iteration: e.reward for e in evaluations(run, GOLD)}
    both = [
        (e.kl, e.reward - gold[e.iteration]) for e in evaluations(run, PROXY) if e.iteration in gold
    ]
    return [(kl, y - both[0][1]) for kl, y in both]


def gold_gains(run: Run) -> list[tuple[float, float]]:
    """(KL, gold less the run's first evaluation, which is SFT's), without that first one."""
    path = evaluations(run, GOLD)
    return [(e.kl, e.reward - path[0].reward) for e in path[1:]]


def _normal(form: Form, points: np.ndarray) -> np.ndarray:
    """One run's share of the normal equations, [2, 3]: X^T X beside X^T y."""
    import numpy as np

    d = np.sqrt(points[:, 0])
    x = np.stack([d, -d * (np.log(d) if form == "rl" else d)], axis=1)
    return np.concatenate([x.T @ x, (x.T @ points[:, 1])[:, None]], axis=1)


def _over_runs(pieces: Sequence[np.ndarray]) -> list[tuple[float, float]]:
    """Percentile bootstrap that draws whole runs: points along one run are not independent."""
    import numpy as np
    from scipy.stats import bootstrap

    stacked = np.stack(pieces)

    def statistic(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        totals = stacked[drawn.astype(int)].sum(axis=-3)  # [..., 2, 3]
        solved = np.linalg.solve(totals[..., :2] + 1e-12 * np.eye(2), totals[..., 2:])
        return np.moveaxis(solved[..., 0], -1, 0)  # [2, ...]

    drawn = bootstrap(
        (np.arange(len(pieces)),),
        statistic,
        vectorized=True,
        method="percentile",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return [(float(low), float(high)) for low, high in zip(*drawn.confidence_interval, strict=True)]


def _from_residuals(
    estimate: tuple[float, float], inverse: np.ndarray, residuals: np.ndarray
) -> list[tuple[float, float]]:
    """Student's interval of ordinary least squares. `inverse`: of X^T X."""
    from scipy.stats import t

    free = len(residuals) - 2
    reach = float(t.ppf(0.975, free)) * math.sqrt(float((residuals**2).sum()) / free)
    return [
        (v - reach * math.sqrt(inverse[i, i]), v + reach * math.sqrt(inverse[i, i]))
        for i, v in enumerate(estimate)
    ]

"""The 95 % intervals of settings, for these prompts (those that were asked) and for prompts like
these (the population that they were drawn from).

Every run answers the same held-out prompts, so a hard set of prompts lowers all of them, and no
spread over seeds shows it.

With y[r, p] a run's mean at a prompt, w[p] the share of the responses that a prompt has, and
n runs: the seeds' part of the variance of the mean is V_R = var_r(sum_p w y) / n; the prompts' is
V_P - V_RP, that of the prompts' means over runs less what of it is the noise of single runs
(two-way random effects; Cameron, Gelbach and Miller 2011). The half width weighs the two quantiles
of t by the parts (Cochran and Cox, "Experimental Designs", 1957, 4.14):

    (V_R t_{n-1} + V_C t_{P-1}) / sqrt(V_R + V_C)     with V_C = max(V_P - V_RP, 0), P prompts
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rlhf.compare.read import Level, Run, final, final_se
from rlhf.compare.statistics.estimates import (
    EVALUATION,
    LIKE,
    SEEDS,
    Interval,
    Prompts,
    around,
    critical,
    interval,
)
from rlhf.compare.statistics.means import NOTHING, Estimate
from rlhf.compare.statistics.settings import Setting, column
from rlhf.metrics import KL, Z95
from rlhf.rundir.read import number

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One number of several runs at the same prompts."""

    prompts: str  # a digest of them, in their order
    values: NDArray[Any]  # [runs, prompts]
    weights: NDArray[Any]  # [prompts], sum 1

    @property
    def freedom(self) -> int:
        return len(self.weights) - 1

    def less(self, other: Answers) -> Answers | None:
        """Run by run and prompt by prompt; None where runs or prompts are not the same."""
        if self.prompts != other.prompts or self.values.shape != other.values.shape:
            return None
        return Answers(
            prompts=self.prompts, values=self.values - other.values, weights=self.weights
        )


def answers(runs: Sequence[Run], key: str, *, at_start: bool = False) -> Answers | None:
    """The runs' values of `key` at each prompt at the end of training, or of SFT `at_start`; None
    where a run kept none, where one is not finite, or where they answered different prompts."""
    import numpy as np

    if not runs or not all(run.by_prompt for run in runs):
        return None
    rows = [run.by_prompt[0 if at_start else -1] for run in runs]
    first = rows[0]
    alike = all((row["prompts"], row["responses"]) == _prompts(first) for row in rows)
    if not alike or len(first["responses"]) < 2 or not all(key in row for row in rows):
        return None
    if at_start and any(row.get("iteration") for row in rows):
        return None
    values = np.array([_numbers(row[key]) for row in rows], dtype=float)
    counts = np.array(first["responses"], dtype=float)
    if not np.isfinite(values).all():
        return None
    return Answers(prompts=first["prompts"], values=values, weights=counts / counts.sum())


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    """As `number` gives them; those of a run are floats all, a few hundred."""
    return values if set(map(type, values)) == {float} else [number(x) for x in values]


def setting_interval(setting: Setting, key: str, prompts: Prompts = LIKE) -> Interval:
    """A setting's final number over its runs, for prompts like these, or for these prompts where
    asked or where its runs kept no values by prompt; the interval says for which. A KL is never
    below 0."""
    over = interval(*column(setting.runs, key))
    there = answers(setting.runs, key) if prompts == LIKE else None
    if there is not None and over.n == len(setting.runs):
        over = like_these(over.mean, there)
    return replace(over, low=max(over.low, 0.0)) if key == KL else over


def run_interval(run: Run, key: str) -> Interval:
    """One run's final number by its own evaluation."""
    return interval([final(run, key)], [final_se(run, key)])


def sft_interval(setting: Setting, key: str) -> Interval:
    """The same of the policy that the setting began from, which is no matter of seeds: for prompts
    like these, or the evaluation's own noise."""
    start = setting.sft.get(key, NOTHING)
    there = answers(setting.runs, key, at_start=True)
    if there is not None and start.n:
        return of_prompts(start.mean, there)
    return evaluated(start)


def gain(setting: Setting, key: str, level: float = 0.95) -> Interval:
    """A setting's end less SFT at these prompts: the mean over runs of each one's end less its own
    evaluation of SFT. One run: prompt by prompt, where it kept them."""
    (ends, ses), (starts, start_ses) = (column(setting.runs, k) for k in (key, f"sft/{key}"))
    gains = [a - b for a, b in zip(ends, starts, strict=True)]
    if len(gains) == 1 and math.isfinite(gains[0]):
        sides = answers(setting.runs, key), answers(setting.runs, key, at_start=True)
        paired = sides[0].less(sides[1]) if sides[0] and sides[1] else None
        if paired is not None:
            return of_prompts(gains[0], paired, level=level)
    noise = [math.hypot(*pair) for pair in zip(ses, start_ses, strict=True)]
    return interval(gains, noise, level)


def evaluated(estimate: Estimate) -> Interval:
    """One evaluation, ± 1.96 standard errors."""
    return around(estimate.mean, Z95 * estimate.se, estimate.n, EVALUATION)


def level_interval(level: Level) -> Interval:
    """A value that a search measured: Student's t over its runs, or one run's own evaluation."""
    n = len(level.runs)
    quantile, source = (critical(n - 1), SEEDS) if n > 1 else (Z95, EVALUATION)
    return around(level.y, quantile * level.error, n, source)


def like_these(mean: float, those: Answers) -> Interval:
    """`mean`, which these values make, for prompts and seeds that are both drawn. One run: the
    prompts alone, which says nothing of other seeds."""
    n, t_prompts = len(those.values), critical(those.freedom)
    if n == 1:
        return of_prompts(mean, those)
    seeds = float((those.values @ those.weights).var(ddof=1)) / n
    half = mixed_half(seeds, critical(n - 1), prompt_variance([those]), t_prompts)
    return around(mean, half, n, SEEDS, LIKE)


def of_prompts(mean: float, those: Answers, means: int = 2, level: float = 0.95) -> Interval:
    """`mean` of one policy, or of one run, by the spread between prompts; several runs' answers
    are more answers of that policy. `means`, `level`: as in `critical`."""
    error = math.sqrt(_clustered(those.values.mean(axis=0), those.weights))
    half = critical(those.freedom, means, level) * error
    return around(mean, half, len(those.values), EVALUATION, LIKE)


def prompt_variance(sides: Sequence[Answers]) -> float:
    """V_C, the prompts' part of the variance: of one mean, or of the first side's less the second's
    at the same prompts."""
    means = sides[0].values.mean(axis=0)
    if len(sides) > 1:
        means = means - sides[1].values.mean(axis=0)
    noise = sum(_interaction(side) for side in sides)
    return max(_clustered(means, sides[0].weights) - noise, 0.0)


def mixed_half(seeds: float, t_seeds: float, prompts: float, t_prompts: float) -> float:
    """Cochran and Cox's half width of two parts of a variance, each with its quantile."""
    whole = seeds + prompts
    return (seeds * t_seeds + prompts * t_prompts) / math.sqrt(whole) if whole > 0 else 0.0


def _clustered(means: NDArray[Any], weights: NDArray[Any]) -> float:
    """Variance of sum_p w m_p over draws of the prompts: P / (P - 1) sum_p w^2 (m_p - mean)^2."""
    count = len(weights)
    squares = float((weights**2 * (means - means @ weights) ** 2).sum())
    return squares * count / (count - 1)


def _interaction(those: Answers) -> float:
    """V_RP, the variance of the mean by what is a run's own at a prompt; that of several runs."""
    y, w = those.values, those.weights
    n, count, runs, prompts = len(y), len(w), y @ w, y.mean(axis=0)
    if n < 2:
        return 0.0
    rest = y - runs[:, None] - prompts + runs.mean()
    squares = float((w**2 * rest**2).sum())
    return squares * count / ((n - 1) * (count - 1) * n)


def _prompts(row: dict[str, Any]) -> tuple[Any, Any]:
    return row["prompts"], row["responses"]

"""Rewards at the same KL: what each setting had when it was that far from SFT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.intervals import NOTHING, Interval, difference, interval
from rlhf.compare.paths import KL, Evaluation, evaluations, value
from rlhf.compare.settings import Setting

BUDGETS = (1.0, 2.0, 5.0, 10.0)  # nats a response
LEAP = 2.0  # budgets: evaluations further apart say nothing of what lies between
NEAR = 0.1  # a run that came within this share of a budget is shown there, marked


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A run at a KL budget. `short`: it never came to the budget, only near."""

    reward: float
    se: float
    iteration: float
    kl: float
    short: bool


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A setting at a budget: the mean over the runs that reached it."""

    interval: Interval
    reached: int
    runs: int
    short: bool  # at least one of them only came near
    furthest: float  # nats, over the whole way of the setting's runs
    passed: bool  # a run stepped over the budget and did not come back below half of it
    budget: float

    @property
    def why(self) -> str:
        """What to say where no run has a number."""
        if self.passed:
            return "passed between two evaluations"
        if self.furthest >= self.budget:
            return f"left again (furthest {self.furthest:.2g})"
        return f"not reached (furthest {self.furthest:.2g})"


def at_budget(path: Sequence[Evaluation], budget: float) -> Reached | None:
    """A run's reward at the last moment of training when its KL was `budget`, on the straight line between two evaluations.

    What lies before KL was last below half the budget does not count (`climb`). KL is not monotone in training: controllers overshoot
    and come back. The last crossing is the most trained policy of that KL, and the end of a run at its own KL is the end. Nothing is
    extrapolated: a run that never came that far gives None, or, within a tenth of the budget, its last evaluation that near, marked;
    evaluations more than two budgets apart tell nothing of what lies between. The errors of the two evaluations add as if they were
    fully correlated, since both answer the same prompts.
    """
    way = climb(path, budget)
    for before, after in reversed(list(zip(way, way[1:], strict=False))):
        low, high = sorted((before.kl, after.kl))
        if low <= budget <= high and high - low > LEAP * budget:
            return None
        if low <= budget <= high:
            share = 1.0 if after.kl == before.kl else (budget - before.kl) / (after.kl - before.kl)
            return Reached(
                reward=_between(before.reward, after.reward, share),
                se=_between(before.reward_se, after.reward_se, share),
                iteration=_between(before.iteration, after.iteration, share),
                kl=budget,
                short=False,
            )
    near = [e for e in way if (1 - NEAR) * budget <= e.kl <= budget]
    return (
        Reached(reward=near[-1].reward, se=near[-1].reward_se, iteration=near[-1].iteration, kl=near[-1].kl, short=True) if near else None
    )


def climb(path: Sequence[Evaluation], budget: float) -> Sequence[Evaluation]:
    """The way from the last evaluation below half the budget on: a KL that training took back, early or late, is no way to the budget."""
    below = [i for i, e in enumerate(path) if e.kl < budget / 2]
    return path[below[-1] :] if below else path


def cell(setting: Setting, key: str, budget: float) -> Cell:
    found = reached(setting, key, budget)
    paths = [evaluations(run, key) for run in setting.runs]
    return Cell(
        interval=interval([r.reward for r in found], [r.se for r in found]) if found else NOTHING,
        reached=len(found),
        runs=len(setting.runs),
        short=any(r.short for r in found),
        furthest=max((e.kl for path in paths for e in path), default=math.nan),
        passed=any(e.kl > budget for path in paths for e in climb(path, budget)),
        budget=budget,
    )


def reached(setting: Setting, key: str, budget: float) -> list[Reached]:
    """The runs of a setting that came to the budget, there."""
    found = (at_budget(evaluations(run, key), budget) for run in setting.runs)
    return [r for r in found if r is not None]


@dataclass(frozen=True, kw_only=True)
class Rival:
    """The best setting and another at one KL: where the best ended, or, if no other came there, where the runner-up did."""

    setting: Setting
    kl: float
    ours: Interval
    theirs: Interval
    difference: Interval  # ours less theirs
    at_best_end: bool


Numbers = list[tuple[float, float]]  # reward and standard error, a run each


def rival(best: Setting, settings: Sequence[Setting], key: str) -> Rival | None:
    """The strongest other at the KL of the best's end; where none came so far, the runner-up's end against the best on its way.

    None where neither can be matched.
    """
    kl, ours = best[KL].mean, _ends(best, key)
    others = [s for s in settings if s is not best and math.isfinite(s[key].mean)]
    found = [_rival(s, kl, ours, there, True) for s in others if math.isfinite(kl) and (there := _there(s, key, kl))]
    if found:
        return max(found, key=lambda r: r.theirs.mean)
    second = max(others, key=lambda s: s[key].mean, default=None)
    if second is None or not math.isfinite(second[KL].mean) or not (way := _there(best, key, second[KL].mean)):
        return None
    return _rival(second, second[KL].mean, way, _ends(second, key), False)


def _rival(setting: Setting, kl: float, ours: Numbers, theirs: Numbers, at_best_end: bool) -> Rival:
    (a, a_ses), (b, b_ses) = zip(*ours, strict=True), zip(*theirs, strict=True)
    gap = difference(a, a_ses, b, b_ses)
    return Rival(setting=setting, kl=kl, ours=interval(a, a_ses), theirs=interval(b, b_ses), difference=gap, at_best_end=at_best_end)


def _ends(setting: Setting, key: str) -> Numbers:
    return [(value(run.summary, key), value(run.summary, f"{key}_se")) for run in setting.runs]


def _there(setting: Setting, key: str, kl: float) -> Numbers:
    return [(r.reward, r.se) for r in reached(setting, key, kl)]


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share

"""Rewards at the same KL: those that each setting had when it was that far from SFT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rlhf.compare.read import Evaluation, evaluations
from rlhf.compare.statistics.estimates import Interval, interval
from rlhf.compare.statistics.settings import Setting

BUDGETS = (1.0, 2.0, 5.0, 10.0)  # nats a response
LEAP = 2.0  # budgets: evaluations further apart say nothing of what lies between
NEAR = 0.1  # a run that came within this share of a budget is shown there, marked


@dataclass(frozen=True, kw_only=True)
class Reached(Evaluation):
    """A run at a KL budget, between two of its evaluations or at one that came near."""

    short: bool  # it never came to the budget, only near
    share: float  # of the run's training, 1 at its end


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
        """Says why no run has a number."""
        if math.isnan(self.furthest):
            return "no KL recorded"
        if self.passed:
            return "passed between two evaluations"
        if self.furthest >= self.budget:
            return f"left again (furthest {self.furthest:.2g})"
        return f"not reached (furthest {self.furthest:.2g})"


def at_budget(path: Sequence[Evaluation], budget: float) -> Reached | None:
    """A run's reward at the last moment of training when its KL was `budget`, on the straight line
    between two evaluations.

    What lies before KL was last below half the budget does not count (`climb`). KL is not monotone
    in training: controllers overshoot and come back. The last crossing is the most trained policy
    of that KL, and the end of a run at its own KL is the end. Nothing is
    extrapolated: a run that never came that far gives None, or, within a tenth of the budget, its
    last evaluation that near, marked; evaluations more than two budgets apart tell nothing of what
    lies between. The errors of the two evaluations add as if they were fully correlated, since both
    answer the same prompts.
    """
    way = climb(path, budget)
    for before, after in reversed(list(pairwise(way))):
        low, high = sorted((before.kl, after.kl))
        if low <= budget <= high:
            if high - low > LEAP * budget:
                return None
            part = 1.0 if low == high else (budget - before.kl) / (after.kl - before.kl)
            there = {k: x + (vars(after)[k] - x) * part for k, x in vars(before).items()}
            done = there["iteration"] / max(path[-1].iteration, 1)
            return Reached(**there | {"kl": budget}, short=False, share=done)
    near = [e for e in way if (1 - NEAR) * budget <= e.kl <= budget]
    if not near:
        return None
    done = near[-1].iteration / max(path[-1].iteration, 1)
    return Reached(**vars(near[-1]), short=True, share=done)


def climb(path: Sequence[Evaluation], budget: float) -> Sequence[Evaluation]:
    """The way from the last evaluation below half the budget on: a KL that training took back,
    early or late, is no way to the budget."""
    below = [i for i, e in enumerate(path) if e.kl < budget / 2]
    return path[below[-1] :] if below else path


def cell(setting: Setting, key: str, budget: float) -> Cell:
    """A setting's reward at a budget, over the runs that came there."""
    paths = [evaluations(run, key) for run in setting.runs]
    there = [r for path in paths if (r := at_budget(path, budget)) is not None]
    return Cell(
        interval=interval([r.reward for r in there], [r.reward_se for r in there]),
        reached=len(there),
        runs=len(setting.runs),
        short=any(r.short for r in there),
        furthest=max((e.kl for path in paths for e in path), default=math.nan),
        passed=any(e.kl > budget for path in paths for e in climb(path, budget)),
        budget=budget,
    )


@dataclass(frozen=True, kw_only=True)
class Matched:
    """One reward of every setting at every budget."""

    key: str
    rows: list[tuple[str, list[Cell]]]  # a setting's label, a cell a budget

    @property
    def reward(self) -> str:
        return self.key.removeprefix("reward/")

    @property
    def tops(self) -> list[str | None]:
        """For each budget the setting with the highest mean."""
        columns = zip(*([(name, c) for c in cells] for name, cells in self.rows), strict=True)
        return [
            max(((c.interval.mean, name) for name, c in column if c.reached), default=(0, None))[1]
            for column in columns
        ]


def matched(settings: Sequence[Setting], key: str) -> Matched:
    return Matched(
        key=key, rows=[(s.label, [cell(s, key, budget) for budget in BUDGETS]) for s in settings]
    )

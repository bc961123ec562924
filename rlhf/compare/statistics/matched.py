"""Rewards at the same KL: what each setting had when it was that far from SFT."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf.compare.read.curves import KL, Evaluation, evaluations, final, value
from rlhf.compare.statistics.intervals import BOTH, NOTHING, Interval, difference, interval, welch
from rlhf.compare.statistics.settings import Setting

BUDGETS = (1.0, 2.0, 5.0, 10.0)  # nats a response
LEAP = 2.0  # budgets: evaluations further apart say nothing of what lies between
LEVEL = 0.05  # a p below it tells two settings apart
NEAR = 0.1  # a run that came within this share of a budget is shown there, marked


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A run at a KL budget. `short`: it never came to the budget, only near."""

    reward: float
    se: float
    iteration: float
    kl: float
    short: bool
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
        """What to say where no run has a number."""
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
                share=_between(before.iteration, after.iteration, share)
                / max(path[-1].iteration, 1),
            )
    near = [e for e in way if (1 - NEAR) * budget <= e.kl <= budget]
    if not near:
        return None
    last, share = near[-1], near[-1].iteration / max(path[-1].iteration, 1)
    return Reached(
        reward=last.reward,
        se=last.reward_se,
        iteration=last.iteration,
        kl=last.kl,
        short=True,
        share=share,
    )


def climb(path: Sequence[Evaluation], budget: float) -> Sequence[Evaluation]:
    """The way from the last evaluation below half the budget on: a KL that training took back,
    early or late, is no way to the budget."""
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
    """The best setting and another at one KL: where the best ended, or where the other did.

    Each run that ended is held against the other at its own KL; `kl` is the mean of these.
    """

    setting: Setting
    kl: float
    ours: Interval
    theirs: Interval
    difference: Interval  # ours less theirs
    p: float  # of Welch's t-test over the seeds; nan where a side has one
    at_best_end: bool
    short: bool  # a run of the one on its way came only near that KL
    share: float  # of its training, at which it was there
    reached: int  # runs of the one on its way that can be read off there
    runs: int  # of all it has
    matched: int  # runs of the one that ended that the other can be held against
    ended: int  # of all it has

    @property
    def clear(self) -> bool:
        """Whether the interval and, where it can be done, the test tell the two apart: of three
        seeds a bootstrap is too sure.

        One run against several is never clear: nothing is known of how the seeds of the one would
        differ.
        """
        return (
            self.difference.clear_of_zero and self.difference.source != BOTH and not self.p > LEVEL
        )


Numbers = list[tuple[float, float]]  # reward and standard error, a run each


def rival(best: Setting, settings: Sequence[Setting], key: str) -> Rival | None:
    """The strongest other at the KL of the best's end, of those with two seeds there if any has;
    where none can be read off, the runner-up's end against the best on its way.

    None where neither can be matched.
    """
    others = [s for s in settings if s is not best and math.isfinite(s[key].mean)]
    found = [r for s in others if (r := _rival(best, s, key, at_best_end=True)) is not None]
    if found:
        return max(found, key=lambda r: (r.reached > 1, -r.difference.mean))
    second = max(others, key=lambda s: s[key].mean, default=None)
    return _rival(best, second, key, at_best_end=False) if second is not None else None


def better_before(best: Setting, settings: Sequence[Setting], key: str) -> Rival | None:
    """Of the settings that are clearly better at the KL of their own end than the best was
    there, the one with the most reward."""
    found = (_rival(best, s, key, at_best_end=False) for s in settings if s is not best)
    return max(
        (r for r in found if r is not None and r.clear and r.difference.mean < 0),
        key=lambda r: r.theirs.mean,
        default=None,
    )


def _rival(best: Setting, other: Setting, key: str, *, at_best_end: bool) -> Rival | None:
    ended, passing = (best, other) if at_best_end else (other, best)
    rows = _rows(ended, passing, key)
    if not rows:
        return None
    ends, way = _levelled(rows)
    (a, a_ses), (b, b_ses) = (
        zip(*numbers, strict=True) for numbers in ((ends, way) if at_best_end else (way, ends))
    )
    read = [r for _, row in rows for r in row if r is not None]
    return Rival(
        setting=other,
        kl=fmean(end.kl for end, _ in rows),
        ours=interval(a, a_ses),
        theirs=interval(b, b_ses),
        difference=difference(a, a_ses, b, b_ses),
        p=welch(a, b),
        at_best_end=at_best_end,
        short=any(r.short for r in read),
        share=fmean(r.share for r in read),
        reached=len(way),
        runs=len(passing.runs),
        matched=len(rows),
        ended=len(ended.runs),
    )


@dataclass(frozen=True, kw_only=True)
class End:
    kl: float
    reward: float
    se: float


def _rows(ended: Setting, passing: Setting, key: str) -> list[tuple[End, list[Reached | None]]]:
    """Each run's end, and the other setting's runs at its KL; without ends at which none of them
    can be read off."""
    ends = [
        End(kl=final(run, KL), reward=final(run, key), se=value(run.summary, f"{key}_se"))
        for run in ended.runs
    ]
    paths = [evaluations(run, key) for run in passing.runs]
    rows = [
        (end, [at_budget(path, end.kl) for path in paths])
        for end in ends
        if math.isfinite(end.kl + end.reward)
    ]
    return [(end, row) for end, row in rows if any(row)]


def _levelled(rows: Sequence[tuple[End, list[Reached | None]]]) -> tuple[Numbers, Numbers]:
    """The ends, and the runs on their way, both moved along the latter's mean reward to one level,
    so that unequal KLs cancel.

    With a_i the reward of end i, b_ij that of run j at its KL, m_i the mean over j and m that of
    all m_i: a_i - m_i + m, and m + mean_i(b_ij - m_i). The means differ by the mean of a_i - m_i.
    (Reward is not straight in KL: the mean over ends that lie apart is not the reward at their mean
    KL.)
    """
    means = [fmean(r.reward for r in row if r is not None) for _, row in rows]
    level = fmean(means)
    ends = [(end.reward - mean + level, end.se) for (end, _), mean in zip(rows, means, strict=True)]
    columns = zip(*(row for _, row in rows), strict=True)
    reads = [
        [
            (r.reward - mean + level, r.se)
            for r, mean in zip(column, means, strict=True)
            if r is not None
        ]
        for column in columns
    ]
    return ends, [
        (fmean(reward for reward, _ in read), fmean(se for _, se in read)) for read in reads if read
    ]


def _between(start: float, end: float, share: float) -> float:
    return start + (end - start) * share

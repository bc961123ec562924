"""Rewards at the same KL: those that each setting had when it was that far from SFT, and which
settings differ there beyond chance."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, variance

from rlhf.compare.quantiles import student_two_sided, studentized_range
from rlhf.compare.statistics.along_kl.reading import Reached, Trail, read_at, trail
from rlhf.compare.statistics.estimates import Interval, interval
from rlhf.compare.statistics.settings import Setting

BUDGETS = (1.0, 2.0, 5.0, 10.0)  # nats per response
LEVEL = 0.05  # of a false difference at any budget, between any two settings


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A setting at a budget: the mean over the runs that reached it."""

    interval: Interval
    reached: int
    runs: int
    short: bool  # at least one of them only came near
    furthest: float  # nats, over the whole way of the setting's runs
    passed: bool  # a run went over the budget and did not come back below half of it
    budget: float
    readings: tuple[Reached, ...]  # one a run that reached it

    @property
    def rewards(self) -> list[float]:
        return [r.reward for r in self.readings]

    @property
    def why(self) -> str:
        """Says why no run has a number."""
        if math.isnan(self.furthest):
            return "no KL recorded"
        if self.passed:
            return "passed, nothing recorded near"
        if self.furthest >= self.budget:
            return f"left again (furthest {self.furthest:.2g})"
        return f"not reached (furthest {self.furthest:.2g})"


def cell(setting: Setting, trails: Sequence[Trail], budget: float) -> Cell:
    """A setting's reward at a budget, over the runs that came there; `trails`: one a run."""
    there = [r for way in trails if (r := read_at(way, budget)) is not None]
    reach = [way.furthest for way in trails if math.isfinite(way.furthest)]
    return Cell(
        interval=interval([r.reward for r in there], [r.reward_se for r in there]),
        reached=len(there),
        runs=len(setting.runs),
        short=any(r.short for r in there),
        furthest=max(reach, default=math.nan),
        passed=any((way.d[way.climb(budget) :] ** 2 > budget).any() for way in trails),
        budget=budget,
        readings=tuple(there),
    )


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The settings that were read at one KL, the highest first, and those that differ there.

    Args:
        order: labels by their mean reading.
        apart: pairs (higher, lower) of labels whose difference is more than chance, over seeds.
        beyond_noise: pairs with one seed on a side, whose difference is more than the noise of
            their readings; nothing is known of how other seeds would differ.
        absent: labels that have no reading there.
    """

    kl: float
    order: tuple[str, ...]
    apart: tuple[tuple[str, str], ...] = ()
    beyond_noise: tuple[tuple[str, str], ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def highest(self) -> str | None:
        return self.order[0] if self.order else None

    @property
    def lower(self) -> tuple[str, ...]:
        """The settings told apart from the highest."""
        return tuple(low for high, low in self.apart if high == self.highest)

    @property
    def level(self) -> tuple[str, ...]:
        """The settings that are not told apart from the highest."""
        return tuple(label for label in self.order[1:] if label not in self.lower)


@dataclass(frozen=True, kw_only=True)
class Nearer:
    """Up to `kl` nats, `setting` has more reward than `instead_of`."""

    kl: float
    setting: str
    instead_of: str
    setting_reward: Interval
    instead_reward: Interval
    over_seeds: bool  # False: more than the noise of the readings, but one has one seed


@dataclass(frozen=True, kw_only=True)
class Matched:
    """One reward of every setting at every budget."""

    key: str
    rows: list[tuple[str, list[Cell]]]  # a setting's label, a cell a budget
    standings: list[Standing]  # one a budget

    @property
    def reward(self) -> str:
        return self.key.removeprefix("reward/")

    @property
    def tops(self) -> list[str | None]:
        """For each budget the setting with the highest mean."""
        return [standing.highest for standing in self.standings]

    def nearer(self, best: str, among: Container[str] | None = None) -> Nearer | None:
        """The largest budget at which another setting (of those `among`) has more reward than
        `best`, beyond chance; where seeds tell of none, beyond the noise of the readings."""
        for over_seeds in (True, False):
            for i, standing in reversed([*enumerate(self.standings)]):
                pairs = standing.apart if over_seeds else standing.beyond_noise
                higher = [
                    high for high, low in pairs if low == best and (among is None or high in among)
                ]
                if higher:
                    setting, cells = min(higher, key=standing.order.index), dict(self.rows)
                    return Nearer(
                        kl=standing.kl,
                        setting=setting,
                        instead_of=best,
                        setting_reward=cells[setting][i].interval,
                        instead_reward=cells[best][i].interval,
                        over_seeds=over_seeds,
                    )
        return None


def matched(settings: Sequence[Setting], key: str) -> Matched:
    trails = {s.label: [trail(run, key) for run in s.runs] for s in settings}
    rows = [(s.label, [cell(s, trails[s.label], b) for b in BUDGETS]) for s in settings]
    columns = [[(label, cells[i]) for label, cells in rows] for i in range(len(BUDGETS))]
    # Bonferroni over the budgets at which there is something to compare
    compared = sum(sum(c.reached > 0 for _, c in column) > 1 for column in columns)
    return Matched(
        key=key,
        rows=rows,
        standings=[standing(column, LEVEL / max(compared, 1)) for column in columns],
    )


def standing(column: Sequence[tuple[str, Cell]], level: float) -> Standing:
    """The settings at one budget. Two differ over seeds by the Tukey-Kramer comparison of all with
    all at `level` and by Welch's t-test of the two at 0.05, both: the former alone claims too much
    where one setting varies more than others. Where a side has one seed, two differ beyond the
    noise by the former, by the readings' own errors as if they were known exactly, or by the spread
    over the seeds of other settings there where that is larger."""
    read = sorted(
        ((label, c) for label, c in column if c.reached), key=lambda row: -row[1].interval.mean
    )
    several = [(label, c.rewards) for label, c in read if c.reached > 1]
    pooled, free = pooled_variance([rewards for _, rewards in several])
    pairs = [
        (a, b)
        for (a, xs), (b, ys) in combinations(several, 2)
        if ranges(fmean(xs) - fmean(ys), pooled / len(xs), pooled / len(ys))
        > range_quantile(level, len(several), free)
        and welch_p(xs, ys) < LEVEL
    ]
    single = [
        (a, b)
        for (a, c), (b, other) in combinations(read, 2)
        if min(c.reached, other.reached) == 1
        and ranges(c.interval.mean - other.interval.mean, _noise(c, pooled), _noise(other, pooled))
        > range_quantile(level, len(read), free or math.inf)
    ]
    return Standing(
        kl=column[0][1].budget,
        order=tuple(label for label, _ in read),
        apart=tuple(pairs),
        beyond_noise=tuple(single),
        absent=tuple(label for label, c in column if not c.reached),
    )


def pooled_variance(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The variance within samples of two or more, and its degrees of freedom."""
    free = sum(len(sample) - 1 for sample in samples)
    spread = sum((x - fmean(sample)) ** 2 for sample in samples for x in sample)
    return (spread / free if free else math.nan), free


def ranges(difference: float, *variances: float) -> float:
    """The size of a difference of two means in the unit of the studentized range: sqrt of the mean
    of their variances. nan where nothing is known of the noise."""
    noise = math.sqrt(fmean(variances))
    return abs(difference) / noise if noise > 0 else math.nan


def _noise(c: Cell, over_seeds: float) -> float:
    """The variance of a cell's mean by the readings' own errors, or by the variance over seeds
    where that is known (not nan) and larger."""
    own = fmean(r.reward_se**2 for r in c.readings)
    return (over_seeds if over_seeds > own else own) / c.reached


def welch_p(a: Sequence[float], b: Sequence[float]) -> float:
    """p of Welch's t-test that two groups of two runs or more have one mean; nan where all runs of
    either agree, and on one number."""
    parts = [variance(x) / len(x) for x in (a, b)]
    difference, noise = fmean(a) - fmean(b), sum(parts)
    if noise == 0:
        return 0.0 if difference else math.nan
    df = noise**2 / sum(part**2 / (len(x) - 1) for part, x in zip(parts, (a, b), strict=True))
    return student_two_sided(difference / math.sqrt(noise), df)


def range_quantile(level: float, settings: int, free: float) -> float:
    """The studentized range of so many means that chance exceeds with a probability of `level`."""
    return studentized_range(1 - level, settings, free)

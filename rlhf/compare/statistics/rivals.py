"""The best setting held against another at the same KL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf.compare.read import final, final_se
from rlhf.compare.statistics.along_kl.reading import Reached, read_at, trail
from rlhf.compare.statistics.estimates import SEEDS, Interval, difference, interval
from rlhf.compare.statistics.paths import kin, ways
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.statistics.verdict import highest
from rlhf.metrics import KL


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
    at_best_end: bool
    short: bool  # a run of the one on its way came only near that KL
    share: float  # of its training, at which it was there
    reached: int  # runs of the one on its way that can be read off there
    runs: int  # of all it has
    matched: int  # runs of the one that ended that the other can be held against
    ended: int  # of all it has

    @property
    def clear(self) -> bool:
        """Whether the interval over seeds tells the two apart. One run on a side is never clear:
        nothing is known of how its other seeds would differ."""
        return self.difference.clear_of_zero and self.difference.source == SEEDS


Numbers = list[tuple[float, float]]  # reward and standard error, a run each


def rival(best: Setting, settings: Sequence[Setting], key: str) -> Rival | None:
    """The strongest other at the KL of the best's end, of those with two seeds there if any has;
    where none can be read off, the runner-up's end against the best on its way. The points of one
    KL path are one way, and no others to each other.

    None where neither can be matched.
    """
    own = next(those for those in kin(settings) if any(s is best for s in those))
    labels = {s.label for s in own}
    apart = ways([s for s in settings if s.label not in labels])
    others = [s for s in apart if math.isfinite(s[key].mean)]
    count = len(others) + 1
    all_rivals = (_rival(best, s, key, at_best_end=True, means=count) for s in others)
    rivals = [r for r in all_rivals if r is not None]
    if rivals:
        return max(rivals, key=lambda r: (r.reached > 1, -r.difference.mean))
    second = highest(others, key)
    if second is None:
        return None
    return _rival(best, second, key, at_best_end=False, means=count)


def _rival(
    best: Setting, other: Setting, key: str, *, at_best_end: bool, means: int
) -> Rival | None:
    """`means`: the settings that the two were picked among."""
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
        difference=difference(a, a_ses, b, b_ses, means),
        at_best_end=at_best_end,
        short=any(r.short for r in read),
        share=fmean(r.share for r in read),
        reached=len(way),
        runs=len(passing.runs),
        matched=len(rows),
        ended=len(ended.runs),
    )


@dataclass(frozen=True)
class End:
    kl: float
    reward: float
    se: float


def _rows(ended: Setting, passing: Setting, key: str) -> list[tuple[End, list[Reached | None]]]:
    """Each run's end, and the other setting's runs at its KL; without ends at which none of them
    can be read off."""
    ends = [End(final(run, KL), final(run, key), final_se(run, key)) for run in ended.runs]
    trails = [trail(run, key) for run in passing.runs]
    rows = [
        (end, [read_at(way, end.kl) for way in trails])
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
            (r.reward - mean + level, r.reward_se)
            for r, mean in zip(column, means, strict=True)
            if r is not None
        ]
        for column in columns
    ]
    return ends, [
        (fmean(reward for reward, _ in read), fmean(se for _, se in read)) for read in reads if read
    ]

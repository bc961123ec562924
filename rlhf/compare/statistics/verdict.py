"""Which setting is best, and which may be: all settings held against the leader at once, so that
the best of many is not called so for being the luckiest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rlhf.compare.statistics.estimates import (
    BORROWED,
    EVALUATION,
    LIKE,
    SEEDS,
    Interval,
    around,
    critical,
    seed_error,
)
from rlhf.compare.statistics.intervals import answers, mixed_half, of_prompts, prompt_variance
from rlhf.compare.statistics.paths import way_names
from rlhf.compare.statistics.settings import Setting, column
from rlhf.metrics import GOLD, PROXY, maximised

Claim = Literal["best", "tied", "order", "alone"]


@dataclass(frozen=True, kw_only=True)
class Margin:
    """The leader less another setting at the end of training: 95 % intervals that hold for all
    settings of the sweep at once."""

    setting: Setting
    difference: Interval  # at these prompts
    like: Interval | None  # at prompts like these; None where runs kept no values by prompt

    @property
    def apart(self) -> bool:
        return self.difference.low > 0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The setting with the highest mean reward, and what can be claimed of it.

    Claims: `best`, told apart from every other; `tied`, from some not; `order`, the leader has one
    run, so nothing says what another seed would give; `alone`, there is no other.
    """

    key: str  # gold, or what was maximised where there is no gold
    leader: Setting
    margins: tuple[Margin, ...]  # of every other with a finite mean, the highest first
    claim: Claim

    @property
    def tied(self) -> tuple[Setting, ...]:
        """Those that are not told apart from the leader. In an order: not even by the noise that
        is known."""
        return tuple(margin.setting for margin in self.margins if not margin.apart)

    def margin(self, setting: Setting) -> Margin | None:
        return next((m for m in self.margins if m.setting is setting), None)


def judge(settings: Sequence[Setting]) -> Verdict | None:
    """The verdict by gold; where no setting has gold, by the reward that was maximised in all; None
    where there is neither.

    Simultaneous intervals by the studentized range, with the pooled variance or the pair's own
    (`seed_error`); with two settings that is Welch's t. Why so: docs/decisions/0012-intervals.md.
    """
    keys = (GOLD, *shared_rewards(settings), PROXY)
    key = next((key for key in keys if highest(settings, key) is not None), None)
    if key is None:
        return None
    ranked = sorted((s for s in settings if math.isfinite(s[key].mean)), key=lambda s: -s[key].mean)
    leader, *others = ranked
    names = way_names(ranked)
    samples, kin = [_values(s, key) for s in ranked], [names[s.label] for s in ranked]
    margins = tuple(_margin(leader, s, key, samples, kin) for s in others)
    return Verdict(key=key, leader=leader, margins=margins, claim=_claim(leader, key, margins))


def shared_rewards(settings: Sequence[Setting]) -> list[str]:
    """The rewards beside proxy and gold that every run maximised, the whole first."""
    each = [maximised(run.config) for s in settings for run in s.runs]
    return [key for key in each[0] if all(key in rewards for rewards in each)] if each else []


def highest(settings: Sequence[Setting], key: str) -> Setting | None:
    """The setting with the highest mean; None where none is finite."""
    finite = (s for s in settings if math.isfinite(s[key].mean))
    return max(finite, key=lambda s: s[key].mean, default=None)


def _claim(leader: Setting, key: str, margins: Sequence[Margin]) -> Claim:
    if not margins:
        return "alone"
    single = (m.difference.n < 2 and m.difference.source != BORROWED for m in margins)
    if leader[key].n < 2 or any(single):
        return "order"
    return "best" if all(m.apart for m in margins) else "tied"


def _margin(
    a: Setting, b: Setting, key: str, samples: Sequence[Sequence[float]], kin: Sequence[str]
) -> Margin:
    """a less b; `samples`: the runs' values of all settings that are compared, `kin` the names of
    the paths that they are points of, or their own."""
    count, error = len(samples), seed_error(_values(a, key), _values(b, key), samples, kin)
    mean, n = a[key].mean - b[key].mean, min(a[key].n, b[key].n)
    sides = [answers(s.runs, key) for s in (a, b)]
    there = [side for side in sides if side is not None]
    same = len(there) == 2 and there[0].prompts == there[1].prompts
    if error is None:
        paired = there[0].less(there[1]) if same and n == 1 else None
        if paired is not None:
            like = of_prompts(mean, paired, count)
            return Margin(setting=b, difference=like, like=like)
        noise = math.hypot(a[key].se, b[key].se)
        half = critical(math.inf, count) * noise
        return Margin(setting=b, difference=around(mean, half, n, EVALUATION), like=None)
    seeds, at_once = error.variance, critical(error.df, count, error.level)
    source = SEEDS if n > 1 else BORROWED
    like_half = (
        mixed_half(
            seeds,
            at_once,
            prompt_variance(there),
            critical(there[0].freedom, count, error.level),
        )
        if same
        else math.nan
    )
    return Margin(
        setting=b,
        difference=around(mean, error.half(count), n, source),
        like=around(mean, like_half, n, source, LIKE) if same else None,
    )


def _values(setting: Setting, key: str) -> list[float]:
    return [v for v in column(setting.runs, key)[0] if math.isfinite(v)]

"""The setting of a sweep with the most reward, and whether the reward model was gamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from rlhf.compare.read import Run, value
from rlhf.compare.statistics.estimates import UNKNOWN, Interval
from rlhf.compare.statistics.intervals import gain
from rlhf.compare.statistics.means import Estimate, single
from rlhf.compare.statistics.paths import independent
from rlhf.compare.statistics.settings import Setting, ending, label_of
from rlhf.compare.statistics.verdict import Verdict, highest, judge
from rlhf.metrics import GOLD, KL, PROXY

CLEAR = 2.0  # standard errors that a difference needs to be called one
CLEAR_PEAK = 3.0  # the same for the best of many evaluations, which is partly luck; of one run


@dataclass(frozen=True, kw_only=True)
class Fall:
    """Gold reward along one run: its best evaluation and its last, while proxy went on rising."""

    run: str  # its setting and seed
    iteration: int
    kl: float  # nats, at the best evaluation
    best: Estimate
    last: Estimate


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the settings came to, by the reward that decides: gold, or proxy where the task has no
    gold."""

    verdict: Verdict
    gain: Interval  # of the best over SFT
    top: Setting | None  # highest proxy; None where no reward model took part
    drop: Interval  # gold of the best less gold of `top`, simultaneous; unknown where there is none
    fall: Fall | None  # the largest along any run; None also without gold or a reward model

    @property
    def key(self) -> str:
        return self.verdict.key

    @property
    def best(self) -> Setting:
        """The setting with the highest mean, whatever can be claimed of it."""
        return self.verdict.leader

    @property
    def alone(self) -> bool:
        return self.verdict.claim == "alone"

    @property
    def praised(self) -> Setting | None:
        """The best, where its responses end."""
        return None if self.best.never_ends else self.best

    @property
    def gamed(self) -> Setting | None:
        """The setting with the highest proxy, where its gold is below the best."""
        return self.top if self.drop.mean > 0 else None

    @property
    def clear(self) -> bool:
        return self.gamed is not None and self.drop.low > 0


def find(settings: Sequence[Setting]) -> Findings | None:
    """The findings of a sweep; None where no setting has a finite reward."""
    able = ending(settings)  # of those whose responses end, if any setting's do
    verdict, top = judge(able), highest(able, PROXY)
    if verdict is None:
        return None
    each = independent([(s, run) for s in able for run in s.runs])
    members = each if top and verdict.key == GOLD else []
    clear = clear_peak(len(members))
    falls = [f for s, run in members if (f := fallen(run, label_of(s, run), clear))]
    return Findings(
        verdict=verdict,
        gain=gain(verdict.leader, verdict.key),
        top=top,
        drop=_drop(verdict, top),
        fall=max(falls, key=lambda f: f.best.mean - f.last.mean, default=None),
    )


def _drop(verdict: Verdict, top: Setting | None) -> Interval:
    if top is None or verdict.key != GOLD:
        return UNKNOWN
    if top is verdict.leader:
        return Interval(0.0, 0.0, 0.0, top[GOLD].n, "")
    margin = verdict.margin(top)
    return margin.difference if margin is not None else UNKNOWN


def clear_peak(runs: int) -> float:
    """CLEAR_PEAK for the largest fall of several runs (Bonferroni): 3 for one, 3.7 for 12."""
    normal = NormalDist()
    return -normal.inv_cdf(normal.cdf(-CLEAR_PEAK) / max(runs, 1))


def fallen(run: Run, name: str, clear: float = CLEAR_PEAK) -> Fall | None:
    """Whether gold fell by at least `clear` standard errors from its best evaluation to the last,
    with proxy no lower than then."""
    path = [row for row in run.metrics if math.isfinite(value(row, f"eval/{GOLD}"))]
    if len(path) < 2:
        return None
    rows = max(path, key=lambda row: value(row, f"eval/{GOLD}")), path[-1]
    best, last = (single(value(r, f"eval/{GOLD}"), value(r, f"eval/{GOLD}_se")) for r in rows)
    proxy, last_proxy = (value(row, f"eval/{PROXY}") for row in rows)
    if not gap(best, last) >= clear or not last_proxy >= proxy:
        return None
    return Fall(
        run=name,
        iteration=int(rows[0].get("iteration", 0)),
        kl=value(rows[0], f"eval/{KL}"),
        best=best,
        last=last,
    )


def gap(a: Estimate, b: Estimate) -> float:
    """(a - b) / sqrt(se_a^2 + se_b^2), of two evaluations. nan where either is not known; infinite
    where neither has noise and they differ."""
    difference, noise = a.mean - b.mean, math.hypot(a.se, b.se)
    if noise == 0.0 and not math.isnan(difference):
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / noise if noise else math.nan

"""The setting of a sweep with the most reward, and whether the reward model was gamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.read import Run, value
from rlhf.compare.statistics.estimates import NOTHING, Estimate, gap, single
from rlhf.compare.statistics.settings import Setting, ending
from rlhf.metrics import GOLD, KL, PROXY

CLEAR = 2.0  # standard errors that a difference needs to be called one
CLEAR_PEAK = 3.0  # the same for the best of many evaluations, which is partly luck


@dataclass(frozen=True, kw_only=True)
class Fall:
    """Gold reward along one run: its best evaluation and its last, while proxy went on rising."""

    run: str
    iteration: int
    kl: float  # nats, at the best evaluation
    best: Estimate
    last: Estimate


@dataclass(frozen=True, kw_only=True)
class Findings:
    """`key` is the reward that decides: gold, or proxy where the task has no gold."""

    key: str
    best: Setting  # of those whose responses end, if any setting's do
    gain: float  # standard errors over SFT
    top: Setting | None  # highest proxy; None where no reward model took part
    drop: float  # gold of the best less gold of `top`; nan where either has none
    drop_gap: float  # the same in standard errors
    fall: Fall | None  # along the runs of `top`
    alone: bool  # there is no other setting

    @property
    def praised(self) -> Setting | None:
        """The best, where its responses end."""
        return None if self.best.never_ends else self.best

    @property
    def gamed(self) -> Setting | None:
        """The setting with the highest proxy, where its gold is below the best."""
        return self.top if self.drop > 0 else None

    @property
    def clear(self) -> bool:
        return self.gamed is not None and self.drop_gap >= CLEAR


def find(settings: Sequence[Setting]) -> Findings | None:
    """The findings of a sweep; None where no setting has a finite reward."""
    top, gold = highest(settings, PROXY), highest(ending(settings), GOLD)
    best, key = (gold, GOLD) if gold is not None else (highest(ending(settings), PROXY), PROXY)
    if best is None:
        return None
    # without gold there are no falls, and both gold estimates are unknown
    falls = [f for run in top.runs if (f := fallen(run))] if gold and top else []
    last = top[GOLD] if top is not None else NOTHING
    return Findings(
        key=key,
        best=best,
        gain=gap(best[key], best.sft.get(key, NOTHING)),
        top=top,
        drop=best[GOLD].mean - last.mean,
        drop_gap=gap(best[GOLD], last),
        fall=max(falls, key=lambda f: f.best.mean - f.last.mean, default=None),
        alone=len(settings) == 1,
    )


def highest(settings: Sequence[Setting], key: str) -> Setting | None:
    """The setting with the highest mean; None where none is finite."""
    finite = (s for s in settings if math.isfinite(s[key].mean))
    return max(finite, key=lambda s: s[key].mean, default=None)


def fallen(run: Run) -> Fall | None:
    """Whether gold fell by at least three standard errors from its best evaluation to the last,
    with proxy no lower than then."""
    path = [row for row in run.metrics if math.isfinite(value(row, f"eval/{GOLD}"))]
    if len(path) < 2:
        return None
    rows = max(path, key=lambda row: value(row, f"eval/{GOLD}")), path[-1]
    best, last = (single(value(r, f"eval/{GOLD}"), value(r, f"eval/{GOLD}_se")) for r in rows)
    proxy, last_proxy = (value(row, f"eval/{PROXY}") for row in rows)
    if not gap(best, last) >= CLEAR_PEAK or not last_proxy >= proxy:
        return None
    return Fall(
        run=run.name,
        iteration=int(rows[0].get("iteration", 0)),
        kl=value(rows[0], f"eval/{KL}"),
        best=best,
        last=last,
    )

"""The setting of a sweep with the most reward, and whether the reward model was gamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.read import Run, value
from rlhf.compare.statistics.estimates import Estimate, gap, single
from rlhf.compare.statistics.settings import Setting
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
    best: Setting
    gain: float  # standard errors over SFT
    top: Setting | None  # highest proxy; None where no reward model took part
    drop: float  # gold of the best less gold of `top`; nan where either has none
    drop_gap: float  # the same in standard errors
    fall: Fall | None  # along the runs of `top`
    alone: bool  # there is no other setting

    @property
    def gamed(self) -> Setting | None:
        """The setting with the highest proxy, where its gold is below the best."""
        return self.top if self.drop > 0 else None

    @property
    def clear(self) -> bool:
        return self.gamed is not None and self.drop_gap >= CLEAR


def find(settings: Sequence[Setting]) -> Findings | None:
    """The findings of a sweep; None where no setting has a finite reward."""
    highest = {key: _highest(settings, key) for key in (GOLD, PROXY)}
    key = next((key for key, setting in highest.items() if setting is not None), None)
    if key is None:
        return None
    best, top = highest[key], highest[PROXY]
    assert best is not None
    drop, drop_gap, fall = math.nan, math.nan, None
    if key == GOLD and top is not None:
        drop, drop_gap = best[GOLD].mean - top[GOLD].mean, gap(best[GOLD], top[GOLD])
        fall = max(
            (f for run in top.runs if (f := fallen(run))),
            key=lambda f: f.best.mean - f.last.mean,
            default=None,
        )
    return Findings(
        key=key,
        best=best,
        gain=gap(best[key], best.sft[key]) if key in best.sft else math.nan,
        top=top,
        drop=drop,
        drop_gap=drop_gap,
        fall=fall,
        alone=len(settings) == 1,
    )


def _highest(settings: Sequence[Setting], key: str) -> Setting | None:
    finite = (s for s in settings if math.isfinite(s[key].mean))
    return max(finite, key=lambda s: s[key].mean, default=None)


def fallen(run: Run) -> Fall | None:
    """Whether gold fell by at least three standard errors from its best evaluation to the last,
    with proxy no lower than then."""
    path = [row for row in run.metrics if math.isfinite(value(row, f"eval/{GOLD}"))]
    if len(path) < 2:
        return None
    best, last = max(path, key=lambda row: value(row, f"eval/{GOLD}")), path[-1]
    top, end = _estimate(best), _estimate(last)
    if not gap(top, end) >= CLEAR_PEAK or not value(last, f"eval/{PROXY}") >= value(
        best, f"eval/{PROXY}"
    ):
        return None
    return Fall(
        run=run.name,
        iteration=int(best.get("iteration", 0)),
        kl=value(best, f"eval/{KL}"),
        best=top,
        last=end,
    )


def _estimate(row: dict[str, object]) -> Estimate:
    return single(value(row, f"eval/{GOLD}"), value(row, f"eval/{GOLD}_se"))

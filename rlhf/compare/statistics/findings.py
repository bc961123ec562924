"""What a sweep found: the setting with the most reward, and whether the reward model was gamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.read.curves import KL, series, value
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.estimates import Estimate, gap
from rlhf.compare.statistics.settings import Setting

CLEAR = 2.0  # standard errors that a difference needs to be called one
CLEAR_PEAK = 3.0  # the same for the best of many evaluations, which is partly luck
PROXY, GOLD = "reward/proxy", "reward/gold"


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
    """None where no setting has a finite reward."""
    for key in (GOLD, PROXY):
        best = max(
            (s for s in settings if math.isfinite(s[key].mean)),
            key=lambda s: s[key].mean,
            default=None,
        )
        if best is not None:
            break
    else:
        return None
    gain = gap(best[key], best.sft[key]) if key in best.sft else math.nan
    drop, drop_gap, fall = math.nan, math.nan, None
    top = max(
        (s for s in settings if math.isfinite(s[PROXY].mean)),
        key=lambda s: s[PROXY].mean,
        default=None,
    )
    if key == GOLD and top is not None:
        fall = max(
            (f for run in top.runs if (f := fallen(run))),
            key=lambda f: f.best.mean - f.last.mean,
            default=None,
        )
        drop, drop_gap = best[GOLD].mean - top[GOLD].mean, gap(best[GOLD], top[GOLD])
    return Findings(
        key=key,
        best=best,
        gain=gain,
        top=top,
        drop=drop,
        drop_gap=drop_gap,
        fall=fall,
        alone=len(settings) == 1,
    )


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


def over_optimisation(found: Findings) -> str:
    if found.key != GOLD:
        return (
            "There is no gold reward here, so over-optimisation cannot be seen; proxy alone does"
            " not show it."
        )
    fall = found.fall
    along = (
        f" In {fall.run}, gold was {show(fall.best)} at iteration {fall.iteration} ({fall.kl:.3g}"
        f" nats) and ended at {show(fall.last)} while proxy did not fall."
        if fall
        else ""
    )
    if found.gamed is None and along:
        return f"Over-optimisation is visible along training.{along}"
    if found.top is None:
        return "No reward model took part, so there was nothing to over-optimise."
    if not math.isfinite(found.drop):
        return (
            f"{found.top.label} has the highest proxy reward and no finite gold reward: whether it"
            " over-optimised cannot be seen."
        )
    if found.gamed is None and found.alone:
        if not any(len(series(run, f"eval/{GOLD}")) > 1 for run in found.top.runs):
            return (
                "With one setting, and no gold reward along its training, over-optimisation cannot"
                " be seen."
            )
        return (
            "No over-optimisation is visible along the training of this one setting: gold did not"
            " clearly fall while proxy held."
        )
    if found.gamed is None:
        return (
            "No over-optimisation is visible: the setting with the highest proxy reward has the"
            " highest gold reward too."
        )
    where = (
        f"{found.gamed.label} has the highest proxy reward ({show(found.gamed[PROXY])}), and its"
        f" gold reward lies {found.drop:.3g}"
    )
    if found.clear:
        size = (
            f"{found.drop_gap:.1f} standard errors"
            if math.isfinite(found.drop_gap)
            else "with no noise measured"
        )
        return f"Over-optimisation is visible: {where} ({size}) below the best.{along}"
    sure = (
        "whether that is more than noise is not known"
        if math.isnan(found.drop_gap)
        else "which is within the noise"
    )
    return f"Over-optimisation is not clear: {where} below the best, {sure}.{along}"


def show(estimate: Estimate) -> str:
    """1.924 +- 0.031, with two digits of the standard error."""
    if not math.isfinite(estimate.mean):
        return "-"
    if not math.isfinite(estimate.se) or estimate.se <= 0:
        return f"{estimate.mean:.4g}"
    digits = min(max(1 - math.floor(math.log10(estimate.se)), 0), 6)
    return f"{estimate.mean:.{digits}f} ± {estimate.se:.{digits}f}"


def _estimate(row: dict[str, object]) -> Estimate:
    return Estimate(value(row, f"eval/{GOLD}"), math.nan, value(row, f"eval/{GOLD}_se"), 1)

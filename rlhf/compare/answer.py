"""The answer of a sweep, at matched KL, with its confidence and its cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf.compare.findings import Findings
from rlhf.compare.intervals import SEEDS, Interval, interval
from rlhf.compare.load import Run
from rlhf.compare.matched import Rival, rival
from rlhf.compare.paths import KL, value
from rlhf.compare.settings import Setting

FEW = 5  # seeds below which a bootstrap is too sure of itself


@dataclass(frozen=True, kw_only=True)
class Answer:
    headline: str
    confidence: str = ""
    cost: str = ""


def answer(found: Findings, settings: Sequence[Setting], runs: Sequence[Run]) -> Answer:
    best, key = found.best, found.key
    there = setting_interval(best, key)
    return Answer(headline=_headline(found, there, rival(best, settings, key)), confidence=_confidence(best, there), cost=_cost(best, runs))


def setting_interval(setting: Setting, key: str) -> Interval:
    """A setting's final number over its runs."""
    return interval([value(run.summary, key) for run in setting.runs], [value(run.summary, f"{key}_se") for run in setting.runs])


def say(i: Interval) -> str:
    """1.57 (1.45 to 1.69), with the digits that the width deserves."""
    if not math.isfinite(i.mean):
        return "-"
    width = i.high - i.low
    if not math.isfinite(width) or width <= 0:
        return f"{i.mean:.4g}"
    most = 3 - math.floor(math.log10(abs(i.mean))) if i.mean else 6  # four digits of the mean say enough
    digits = max(min(1 - math.floor(math.log10(width / 2)), most, 6), 0)
    mean, low, high = (f"{round(x, digits) + 0.0:.{digits}f}" for x in (i.mean, i.low, i.high))  # + 0.0: no -0.00
    return f"{mean} ({low} to {high})"


def _headline(found: Findings, there: Interval, other: Rival | None) -> str:
    label, name = found.best.label, found.key.removeprefix("reward/")
    kl = found.best[KL].mean
    at = f" at {kl:.3g} nats" if math.isfinite(kl) else ""
    if other is None:
        return f"{label} is best by {name} reward: {say(there)}{at}. No other setting can be held against it at the same KL."
    them, gap = other.setting.label, other.difference
    sure = "clear of zero" if gap.clear_of_zero else "within the noise"
    if not other.at_best_end:
        then = f": with no more KL than that, {them} is better" if gap.clear_of_zero and gap.mean < 0 else ""
        return (
            f"{label} ends with the highest {name} reward, {say(there)}{at}, where no other setting came; at the {other.kl:.3g} nats of "
            f"the next, {them}, it had {say(other.ours)} against {say(other.theirs)}: a difference of {say(gap)}, {sure}{then}."
        )
    if gap.mean >= 0:
        return (
            f"{label} is best by {name} reward at matched KL: {say(there)}{at}; the next there is {them} with {say(other.theirs)}, "
            f"and the difference, {say(gap)}, is {sure}."
        )
    more = "more" if gap.clear_of_zero else "as much, within the noise"
    return (
        f"{label} ends with the highest {name} reward, {say(there)}{at}, but at that KL {them} had {more}, {say(other.theirs)}: "
        "at matched KL this setting did no better than stopping the other early."
    )


def _confidence(best: Setting, there: Interval) -> str:
    if there.source == SEEDS:
        few = (
            f" {there.n} seeds are few: such an interval is little more than their range, and is too sure of itself."
            if there.n < FEW
            else ""
        )
        return f"In brackets: 95 % intervals, a bootstrap over {there.n} seeds, never narrower than the noise of the evaluation.{few}"
    if there.source:
        return (
            "In brackets: 95 % intervals from the standard error of the evaluation. There is one seed a setting, which says nothing "
            "of how much other seeds would differ."
        )
    return "No noise was measured, so nothing says how sure this is."


def _cost(best: Setting, runs: Sequence[Run]) -> str:
    parts = []
    if math.isfinite(best[KL].mean):
        parts.append(f"{say(setting_interval(best, KL))} nats of KL a response")
    seconds = [s for run in best.runs if math.isfinite(s := value(run.summary, "wall_seconds"))]
    if seconds:
        parts.append(f"{duration(fmean(seconds))} a run")
    every = [s for run in runs if math.isfinite(s := value(run.summary, "wall_seconds"))]
    whole = f"; all {len(every)} runs of the sweep together took {duration(sum(every))}" if every else ""
    return f"It cost {' and '.join(parts)}{whole}." if parts else ""


def duration(seconds: float) -> str:
    """47 s, 3 min 20 s, 2 h 05 min"""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

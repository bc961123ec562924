"""The answer of a sweep, at matched KL, with its confidence and its cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rlhf.compare.findings import Findings
from rlhf.compare.intervals import BOTH, EVALUATION, SEEDS, Interval, interval
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
    other = rival(best, settings, key)
    shown = [there] if other is None else [there, other.ours, other.theirs, other.difference]
    return Answer(headline=_headline(found, there, other), confidence=_confidence(shown), cost=_cost(best, runs))


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
    sure = "clear of zero" if gap.clear_of_zero else "within the noise" if gap.known else "not known to be more than noise"
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
    more = "more" if gap.clear_of_zero else "as much, within the noise" if gap.known else "more, by a measure whose noise is not known"
    return (
        f"{label} ends with the highest {name} reward, {say(there)}{at}, but at that KL {them} had {more}, {say(other.theirs)}: "
        "at matched KL this setting did no better than stopping the other early."
    )


def _confidence(shown: Sequence[Interval]) -> str:
    """Where the intervals of the headline come from: its numbers, and that of their difference."""
    seeds = sorted({i.n for i in shown if i.source == SEEDS})
    single, silent = any(i.source == EVALUATION for i in shown), any(not i.source for i in shown)
    if not seeds and not single:
        return "No noise was measured, so nothing says how sure this is."
    counts = " and ".join(map(str, seeds))
    few = f" {counts} seeds are few: such an interval is little more than their range, and is too sure of itself."
    rest = few if any(n < FEW for n in seeds) else ""
    rest += " Where there are no brackets, the noise of a single seed was not measured." if silent else ""
    if not single:
        said = f"a bootstrap over {counts} seeds, never narrower than the noise of the evaluation."
    elif not seeds:
        said = "from the standard error of the evaluation. Each is of one seed, which says nothing of how much other seeds would differ."
    else:
        said = (
            f"a bootstrap over {counts} seeds, never narrower than the noise of the evaluation; where there is one seed, from the standard "
            "error of its evaluation, which says nothing of how much other seeds would differ."
        )
        said += " That of the difference adds the two in quadrature." if any(i.source == BOTH for i in shown) else ""
    return f"In brackets: 95 % intervals, {said}{rest}"


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

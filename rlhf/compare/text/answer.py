"""The answer of a sweep, at matched KL, with its confidence and its cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rlhf.compare.read.curves import KL, final, value
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.findings import Findings, over_optimisation, show
from rlhf.compare.statistics.intervals import BOTH, EVALUATION, SEEDS, Interval, interval, say
from rlhf.compare.statistics.matched import Rival, better_before, rival
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text.headline import headline, title

UNDERWAY = 0.8  # of its training: a setting that passed a KL before has not had its best there
MANY = 4  # settings from which on the best is worth a warning
FEW = 5  # seeds below which a bootstrap is too sure of itself


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What page, report, terminal and MLflow say first, all the same."""

    headline: str
    cost: str = ""
    gaming: str = ""
    confidence: str = ""
    title: str = "Reward against KL"  # the headline in short, over the picture

    @property
    def paragraphs(self) -> list[str]:
        return [part for part in (self.headline, self.cost, self.gaming, self.confidence) if part]


def answer(found: Findings | None, settings: Sequence[Setting], runs: Sequence[Run]) -> Answer:
    if found is None:
        nothing = "No finished run reports a finite reward: there is nothing to rank."
        return Answer(headline=nothing if settings else "No run of this sweep has finished yet.")
    best, key = found.best, found.key
    there, gain = setting_interval(best, key), _gain(best, key)
    other, before = rival(best, settings, key), better_before(best, settings, key)
    if (
        before is not None
        and other is not None
        and not other.at_best_end
        and other.setting is before.setting
    ):
        before = None  # the headline says it
    shown = [
        there,
        gain,
        *(i for r in (other, before) if r is not None for i in (r.ours, r.theirs, r.difference)),
    ]
    return Answer(
        headline=headline(found, settings, there, other, before),
        cost=(_gained(found, gain) + _cost(best, runs)).strip(),
        gaming=over_optimisation(found),
        confidence=_confidence([i for i in shown if i.n]) + _test(best, other) + _luck(settings),
        title=title(found, settings, other),
    )


def setting_interval(setting: Setting, key: str) -> Interval:
    """A setting's final number over its runs. A KL is never below 0."""
    values, ses = zip(*_numbers(setting, key), strict=True)
    found = interval(values, ses)
    return replace(found, low=max(found.low, 0.0)) if key == KL else found


def _numbers(setting: Setting, key: str) -> list[tuple[float, float]]:
    return [(final(run, key), value(run.summary, f"{key}_se")) for run in setting.runs]


def _gain(setting: Setting, key: str) -> Interval:
    """Over SFT: the mean of each run's end less its own evaluation of SFT."""
    ends, ses = zip(*_numbers(setting, key), strict=True)
    starts, start_ses = zip(*_numbers(setting, f"sft/{key}"), strict=True)
    return interval(
        [a - b for a, b in zip(ends, starts, strict=True)],
        [math.hypot(*pair) for pair in zip(ses, start_ses, strict=True)],
    )


def _gained(found: Findings, gain: Interval) -> str:
    if not math.isfinite(gain.mean):
        return ""
    gained = (
        say(gain)
        if gain.mean >= 0
        else say(Interval(-gain.mean, -gain.high, -gain.low, gain.n, gain.source))
    )
    name = found.key.removeprefix("reward/")
    return (
        f"Against SFT ({show(found.best.sft[found.key])}) it"
        f" {'gained' if gain.mean >= 0 else 'lost'} {gained} of {name} reward. "
    )


def _test(best: Setting, other: Rival | None) -> str:
    """How the difference of the two was reached."""
    if other is None:
        return ""
    near = " Runs that came within a tenth of that KL count as there." if other.short else ""
    if other.matched < other.ended and not other.at_best_end:
        near += (
            f" Only {other.matched} of the {other.ended} runs that ended there can be held against"
            " the other."
        )
    if other.share < UNDERWAY:
        who = other.setting if other.at_best_end else best
        near += (
            f" {who.label} was there with {other.share:.0%} of its training done: with more, it"
            " might have had more at that KL."
        )
    return near + (
        f" Welch's t-test of the difference over the seeds: p = {other.p:.2g}."
        if other.p >= 0
        else ""
    )


def _luck(settings: Sequence[Setting]) -> str:
    some = len(settings) >= MANY
    return (
        f" The best of {len(settings)} settings is also the luckiest: expect a little less of it in"
        " new runs."
        if some
        else ""
    )


def _confidence(shown: Sequence[Interval]) -> str:
    """Where the intervals of the headline come from: its numbers, and that of their difference."""
    seeds = sorted({i.n for i in shown if i.source == SEEDS})
    single, silent = any(i.source == EVALUATION for i in shown), any(not i.source for i in shown)
    if not seeds and not single:
        return "No noise was measured, so nothing says how sure this is."
    counts = " and ".join(map(str, seeds))
    few = (
        f" {counts} seeds are few: such an interval is little more than their range, and is too"
        " sure of itself."
    )
    rest = few if any(n < FEW for n in seeds) else ""
    rest += (
        " Where there are no brackets, the noise of a single seed was not measured."
        if silent
        else ""
    )
    if not single:
        said = f"a bootstrap over {counts} seeds, never narrower than the noise of the evaluation."
    elif not seeds:
        said = (
            "from the standard error of the evaluation. Each is of one seed, which says nothing of"
            " how much other seeds would differ."
        )
    else:
        said = (
            f"a bootstrap over {counts} seeds, never narrower than the noise of the evaluation;"
            " where there is one seed, from the standard error of its evaluation, which says"
            " nothing of how much other seeds would differ."
        )
        said += (
            " That of the difference adds the two in quadrature."
            if any(i.source == BOTH for i in shown)
            else ""
        )
    return f"In brackets: 95 % intervals, {said}{rest}"


def _cost(best: Setting, runs: Sequence[Run]) -> str:
    parts = []
    if math.isfinite(best[KL].mean):
        parts.append(f"{say(setting_interval(best, KL))} nats of KL a response")
    seconds = [s for run in best.runs if math.isfinite(s := value(run.summary, "wall_seconds"))]
    if seconds:
        parts.append(f"{duration(fmean(seconds))} a run")
    every = [s for run in runs if math.isfinite(s := value(run.summary, "wall_seconds"))]
    whole = f"; all {len(every)} runs took {duration(sum(every))} in sum" if every else ""
    return f"It cost {' and '.join(parts)}{whole}." if parts else ""


def duration(seconds: float) -> str:
    """47 s, 3 min 20 s, 2 h 05 min"""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"

"""The answer of a sweep, at matched KL, with its confidence and its cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rlhf.compare.read import Run, series, value
from rlhf.compare.statistics import (
    BORROWED,
    EVALUATION,
    LIKE,
    SEEDS,
    Findings,
    Interval,
    Rival,
    Setting,
    Study,
    better_before,
    brief,
    evaluated,
    rival,
    say,
    setting_interval,
    sft_interval,
)
from rlhf.compare.text.headline import headline
from rlhf.compare.text.verdict import verdict_sentences
from rlhf.metrics import GOLD, KL, PROXY, SECONDS
from rlhf.rundir.words import duration

UNDERWAY = 0.8  # of its training: a setting that passed a KL before has not had its best there
MANY = 4  # settings from which on the best is worth a warning


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The first words of page, report, terminal and MLflow, all the same: the verdict, and what
    it rests on."""

    headline: str
    comparison: str = ""
    cost: str = ""
    gaming: str = ""
    confidence: str = ""

    @property
    def rest(self) -> list[str]:
        return [part for part in (self.comparison, self.cost, self.gaming, self.confidence) if part]

    @property
    def paragraphs(self) -> list[str]:
        return [self.headline, *self.rest]


def answer(study: Study) -> Answer:
    """The answer of a comparison, or that there is none yet."""
    findings, settings = study.findings, study.settings
    if findings is None:
        return Answer(headline=verdict_sentences(study))
    best, key = findings.best, findings.key
    there, gain = setting_interval(best, key), findings.gain
    other, before = rival(best, settings, key), better_before(best, settings, key)
    if before and other and not other.at_best_end and other.setting is before.setting:
        before = None  # the headline says it
    rivals = [r for r in (other, before) if r is not None]
    shown = [there, gain, *(i for r in rivals for i in (r.ours, r.theirs, r.difference))]
    luck = (
        f" The best of {len(settings)} settings is also the luckiest: expect a little less of it in"
        " new runs."
    ) * (len(settings) >= MANY)
    return Answer(
        headline=verdict_sentences(study),
        comparison=headline(study, findings, there, other, before),
        cost=(_gained(findings, gain) + _cost(best, study.runs)).strip(),
        gaming=over_optimisation(findings),
        confidence=_confidence([i for i in shown if i.n]) + _near(best, other) + luck,
    )


def _gained(findings: Findings, gain: Interval) -> str:
    if not math.isfinite(gain.mean):
        return ""
    less = replace(gain, mean=-gain.mean, low=-gain.high, high=-gain.low)
    change = f"gained {say(gain)}" if gain.mean >= 0 else f"lost {say(less)}"
    base, name = (
        brief(sft_interval(findings.best, findings.key)),
        findings.key.removeprefix("reward/"),
    )
    return f"Against SFT ({base}) it {change} of {name} reward. "


def _near(best: Setting, other: Rival | None) -> str:
    """The words on how near the two were to one KL."""
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
    return near


def _confidence(shown: Sequence[Interval]) -> str:
    """Says where the intervals of the headline come from: its numbers', and that of their
    difference."""
    sources = {i.source for i in shown}
    if sources <= {""}:
        return "No noise was measured, so nothing says how sure this is."
    counts = " and ".join(map(str, sorted({i.n for i in shown if i.source == SEEDS})))
    parts = []
    if SEEDS in sources:
        parts.append(f"over {counts} seeds by Student's t, differences by Welch's")
    if EVALUATION in sources:
        parts.append(
            "where there is one seed, by the noise of its evaluation, which says nothing of how"
            " much other seeds would differ"
        )
    if BORROWED in sources:
        parts.append(
            "of a difference of one seed and several, with the one taken to vary as the several do"
        )
    like = any(i.prompts == LIKE for i in shown)
    return (
        f"In brackets: 95 % intervals, {'; '.join(parts)}."
        + " A setting's own is for prompts like these, a difference is at these prompts." * like
        + " Where there are no brackets, the noise of a single seed was not measured."
        * ("" in sources)
    )


def _cost(best: Setting, runs: Sequence[Run]) -> str:
    seconds, every = _seconds(best.runs), _seconds(runs)
    nats = f"{say(setting_interval(best, KL))} nats of KL a response"
    parts = [nats] if math.isfinite(best[KL].mean) else []
    parts += [f"{duration(fmean(seconds))} a run"] if seconds else []
    whole = f"; all {len(every)} runs took {duration(sum(every))} in sum" if every else ""
    return f"It cost {' and '.join(parts)}{whole}." if parts else ""


def _seconds(runs: Sequence[Run]) -> list[float]:
    return [s for run in runs if math.isfinite(s := value(run.summary, SECONDS))]


def over_optimisation(findings: Findings) -> str:
    """Whether gold fell while proxy rose: between settings, and along training."""
    if findings.key != GOLD:
        return (
            "There is no gold reward here, so over-optimisation cannot be seen; proxy alone does"
            " not show it."
        )
    along, top = _along(findings), findings.top
    if findings.gamed is None and along:
        return f"Over-optimisation is visible along training.{along}"
    if top is None:
        return "No reward model took part, so there was nothing to over-optimise."
    if not math.isfinite(findings.drop.mean):
        return (
            f"{top.label} has the highest proxy reward and no finite gold reward: whether it"
            " over-optimised cannot be seen."
        )
    if findings.gamed is not None:
        return _between(findings, findings.gamed) + along
    if not findings.alone:
        return (
            "No over-optimisation is visible: the setting with the highest proxy reward has the"
            " highest gold reward too."
        )
    if not any(len(series(run, f"eval/{GOLD}")) > 1 for run in top.runs):
        return (
            "With one setting, and no gold reward along its training, over-optimisation cannot"
            " be seen."
        )
    return (
        "No over-optimisation is visible along the training of this one setting: gold did not"
        " clearly fall while proxy held."
    )


def _along(findings: Findings) -> str:
    fall = findings.fall
    if fall is None:
        return ""
    return (
        f" In {fall.run}, gold was {brief(evaluated(fall.best))} at iteration"
        f" {fall.iteration} ({fall.kl:.3g} nats) and ended at"
        f" {brief(evaluated(fall.last))} while proxy did not fall."
    )


def _between(findings: Findings, gamed: Setting) -> str:
    drop = findings.drop
    where = (
        f"{gamed.label} has the highest proxy reward ({brief(setting_interval(gamed, PROXY))}), and"
        f" its gold reward lies {say(drop)} below the best"
    )
    if findings.clear:
        one = "; with one run on a side, other seeds may differ" * (drop.source != SEEDS)
        return f"Over-optimisation is visible: {where}{one}."
    sure = (
        "which is within the noise"
        if drop.known
        else "whether that is more than noise is not known"
    )
    return f"Over-optimisation is not clear: {where}, {sure}."

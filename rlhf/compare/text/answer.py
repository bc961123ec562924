"""The answer of a sweep, at matched KL, with its confidence and its cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rlhf.compare.read import Run, named, series, value, whole
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
    brief,
    ending,
    evaluated,
    rival,
    say,
    setting_interval,
    sft_interval,
)
from rlhf.compare.text.endless import endless, left_out
from rlhf.compare.text.rival import at_equal_kl
from rlhf.compare.text.verdict import verdict_sentences
from rlhf.metrics import GOLD, PROXY, SECONDS
from rlhf.rundir.words import duration

UNDERWAY = 0.8  # of its training: a setting that passed a KL before has not had its best there
ENDLESS = "± is half of the 95 % confidence interval."
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
    findings = study.findings
    if findings is None:
        return Answer(headline=verdict_sentences(study))
    best, key = findings.best, findings.key
    other = None if best.never_ends else rival(best, ending(study.settings), key)
    there, over_sft = setting_interval(best, key), findings.gain
    beside = [other.ours, other.theirs, other.difference] if other is not None else []
    shown = [i for i in (there, over_sft, *beside) if i.n]
    sure = ENDLESS if best.never_ends else _confidence(shown, _like(best, there, over_sft))
    return Answer(
        headline=verdict_sentences(study),
        comparison=endless(study, findings)
        if best.never_ends
        else f"{at_equal_kl(study, best, key, other)} {left_out(study, findings)}".strip(),
        cost=f"{_gained(findings)} {_cost(best, study.runs)}".strip(),
        gaming=over_optimisation(findings),
        confidence=" ".join(filter(None, (sure, _near(best, other), _luck(study)))),
    )


def _gained(findings: Findings) -> str:
    over = findings.gain
    if not math.isfinite(over.mean) or findings.best.never_ends:
        return ""
    less = replace(over, mean=-over.mean, low=-over.high, high=-over.low)
    change = f"{say(over)} more" if over.mean >= 0 else f"{say(less)} less"
    base = brief(sft_interval(findings.best, findings.key))
    return f"{findings.best.label} has {change} {named(findings.key)} than SFT, which has {base}."


def _near(best: Setting, other: Rival | None) -> str:
    """Says how near the two were to one KL."""
    if other is None:
        return ""
    parts = []
    if other.short:
        parts.append("A run that came within a tenth of that KL is read at its furthest.")
    if other.share < UNDERWAY:
        who = other.setting if other.at_best_end else best
        parts.append(
            f"{who.label} had {other.share:.0%} of its training done at that KL; a longer or slower"
            " run may have more reward there."
        )
    return " ".join(parts)


def _luck(study: Study) -> str:
    """A word on the highest of many noisy means."""
    count = len(study.settings)
    return f"The highest mean of {count} overstates what new runs will reach." * (count >= MANY)


def _like(best: Setting, there: Interval, over_sft: Interval) -> str:
    """Says which intervals hold for prompts that were not asked."""
    if LIKE not in (there.prompts, over_sft.prompts):
        return ""
    ends = f"{best.label} at the end of training" * (there.prompts == LIKE)
    gains = "the gain over SFT" * (over_sft.prompts == LIKE)
    those = " and of ".join(filter(None, (ends, gains)))
    return f" Those of {those} hold for prompts like these, all others for these prompts."


def _confidence(shown: Sequence[Interval], like: str) -> str:
    """Says where the intervals come from; `like`: for which prompts they hold."""
    sources = {i.source for i in shown}
    if sources <= {""}:
        return "No error was measured, so nothing says how sure these numbers are."
    counts = " and ".join(map(str, sorted({i.n for i in shown if i.source == SEEDS})))
    parts = []
    if SEEDS in sources:
        parts.append(f"over {counts} seeds (Student's t; of differences Welch's t)")
    if EVALUATION in sources:
        agree = any(i.n > 1 for i in shown if i.source == EVALUATION)
        where = "one seed, or where all agree" if agree else "one seed"
        parts.append(
            f"of the evaluation alone where there is {where} (other seeds may differ by more)"
        )
    if BORROWED in sources:
        parts.append("of one seed less several with the variance of the several")
    return (
        f"Brackets are 95 % confidence intervals: {', '.join(parts)}."
        + like
        + " Numbers without brackets have no measured error." * ("" in sources)
    )


def _cost(best: Setting, runs: Sequence[Run]) -> str:
    seconds, every = _seconds(best.runs), _seconds(whole(runs))
    if not every:
        return ""
    one = f"A run of {best.label} took {duration(fmean(seconds))}." if seconds else ""
    together = f"The {len(every)} runs took {duration(sum(every))} together."
    return f"{one} {together * (len(every) > 1)}".strip()


def _seconds(runs: Sequence[Run]) -> list[float]:
    return [s for run in runs if math.isfinite(s := value(run.summary, SECONDS))]


def over_optimisation(findings: Findings) -> str:
    """Whether gold fell while proxy rose: between settings, and along training."""
    if findings.key != GOLD:
        return "Gold reward was not measured, so over-optimisation cannot be seen."
    along, top = _along(findings), findings.top
    if findings.gamed is None and along:
        return f"Over-optimisation shows during training: {along}"
    if top is None:
        return "No reward model was maximised, so there was none to over-optimise."
    if not math.isfinite(findings.drop.mean):
        return (
            f"{top.label} has the highest proxy reward and no finite gold reward, so"
            " over-optimisation cannot be seen."
        )
    if findings.gamed is not None:
        return f"{_between(findings, findings.gamed)} {along[:1].upper()}{along[1:]}".strip()
    if not findings.alone:
        return (
            "No sign of over-optimisation: the setting with the highest proxy reward has the"
            " highest gold reward too."
        )
    if not any(len(series(run, f"eval/{GOLD}")) > 1 for run in top.runs):
        return (
            "One setting, without gold reward during its training, cannot show over-optimisation."
        )
    return "No sign of over-optimisation: gold reward did not clearly fall during training."


def _along(findings: Findings) -> str:
    fall = findings.fall
    if fall is None:
        return ""
    return (
        f"in {fall.run}, gold reward was {brief(evaluated(fall.best))} at iteration"
        f" {fall.iteration} ({fall.kl:.3g} nats) and ended at {brief(evaluated(fall.last))}, while"
        " proxy reward did not fall."
    )


def _between(findings: Findings, gamed: Setting) -> str:
    drop = findings.drop
    where = (
        f"{gamed.label} has the highest proxy reward, {brief(setting_interval(gamed, PROXY))}, and"
        f" {say(drop)} less gold reward than {findings.best.label}"
    )
    if findings.clear:
        single = "one side has" if drop.source == BORROWED else "each has"
        few = "" if drop.source == SEEDS else f"; {single} one run, so other seeds may differ"
        return f"Over-optimisation: {where}{few}."
    sure = "which is not statistically clear" if drop.known else "of unknown error"
    return f"Perhaps over-optimisation: {where}, {sure}."

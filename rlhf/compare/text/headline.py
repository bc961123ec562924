"""The leader held against the others at the same KL, in words."""

from __future__ import annotations

import math

from rlhf.compare.statistics import (
    BORROWED,
    EVALUATION,
    Findings,
    Interval,
    Rival,
    Setting,
    Study,
    brief,
    gain,
    say,
    sft_interval,
)
from rlhf.metrics import KL

APART = (
    " KL is to different SFT policies here: settings that began from different ones are not at the"
    " same place at the same KL, and what they gained is not told apart from where they began."
)


def headline(
    study: Study,
    findings: Findings,
    there: Interval,
    other: Rival | None,
    before: Rival | None,
) -> str:
    """The first sentences of the answer.

    Args:
        there: what the best ended with.
        other: the setting that the best is held against at the same KL.
        before: a setting that is clearly better nearer to SFT.
    """
    return (
        _beside_sft(study, findings)
        + _headline(findings, there, other)
        + _nearer(findings.best, before)
        + (APART if len(study.starts) > 1 else "")
    )


def _headline(findings: Findings, there: Interval, other: Rival | None) -> str:
    label, name = findings.best.label, findings.key.removeprefix("reward/")
    kl = findings.best[KL].mean
    at = f" at {kl:.3g} nats" if math.isfinite(kl) else ""
    if other is None:
        return (
            f"{label} has the highest {name} reward, {say(there)}{at}. No other setting can be held"
            " against it at the same KL."
        )
    them, ours_less = other.setting.label, other.difference
    ours, theirs = _numbers(other)
    if not other.at_best_end:
        better = other.clear and ours_less.mean < 0
        then = f": with no more KL than that, {them} is better" if better else ""
        return (
            f"{label} ends with the highest {name} reward, {say(there)}{at}, where no other setting"
            f" can be read off; at the {other.kl:.3g} nats of the next, {them}, it had {ours}"
            f" against {theirs}: a difference of {say(ours_less)}, {_sure(other)}{then}."
        )
    if ours_less.mean >= 0 and not other.clear:
        return (
            f"{label} has the highest {name} reward, {say(there)}{at}, but is not told apart from"
            f" {them}, which had {theirs} at that KL: the difference, {say(ours_less)}, is"
            f" {_sure(other)}."
        )
    tied = [s.label for s in findings.verdict.tied]
    if ours_less.mean >= 0 and tied:
        return (
            f"{label} has the highest {name} reward, {say(there)}{at}; the next there is {them}"
            f" with {theirs}, and the difference, {say(ours_less)}, is {_sure(other)}. Of the"
            f" settings' ends it is not told apart from that of {', '.join(tied)}."
        )
    if ours_less.mean >= 0:
        return (
            f"{label} is best by {name} reward at matched KL: {say(there)}{at}; the next there is"
            f" {them} with {theirs}, and the difference, {say(ours_less)}, is {_sure(other)}."
        )
    return (
        f"{label} ends with the highest {name} reward, {say(there)}{at}, but at that KL {them} had"
        f" {_more(other)}, {theirs}: at matched KL this setting did no better than stopping the"
        " other early."
    )


def _numbers(other: Rival) -> tuple[str, str]:
    """(Ours, theirs), with the seeds where not all of them can be read off or held against the
    other."""
    ours, theirs = say(other.ours), say(other.theirs)
    seeds = f" ({other.reached} of {other.runs} seeds)" if other.reached < other.runs else ""
    if not other.at_best_end:
        return ours + seeds, theirs
    some = f", held against {ours} of {other.matched} of the {other.ended} runs"
    return ours, theirs + seeds + (some if other.matched < other.ended else "")


def _nearer(best: Setting, before: Rival | None) -> str:
    if before is None:
        return ""
    ours, theirs = _numbers(before)
    return (
        f" At the {before.kl:.3g} nats where {before.setting.label} ended, that is better: {theirs}"
        f" against {ours} of {best.label}, then with {before.share:.0%} of its training done, and"
        f" the difference is {_sure(before)}."
    )


def _sure(other: Rival) -> str:
    less = other.difference
    if less.clear_of_zero and less.source == EVALUATION:
        return "more than the noise of evaluating, but each has one seed"
    if less.clear_of_zero and less.source == BORROWED:
        return "more than the noise that is known, but one of the two has one seed there"
    if less.clear_of_zero:
        return "clear of zero"
    return "within the noise" if less.known else "not known to be more than noise"


def _more(other: Rival) -> str:
    if other.clear:
        return "more"
    if other.difference.clear_of_zero:
        return "more, as far as one seed can tell"
    return (
        "as much, within the noise"
        if other.difference.known
        else "more, by a measure whose noise is not known"
    )


def _came(study: Study, findings: Findings) -> str:
    """The verb for what no setting did beside SFT, empty where one is clearly better than it."""
    gains = [gain(s, findings.key) for s in study.settings if findings.key in s.sft]
    if not any(g.known for g in gains) or any(g.low > 0 for g in gains):
        return ""
    return "came up to" if findings.gain.high < 0 else "is clearly better than"


def _beside_sft(study: Study, findings: Findings) -> str:
    """Says first where no setting is clearly better than the policy it began from."""
    came, name = _came(study, findings), findings.key.removeprefix("reward/")
    if not came:
        return ""
    if len(study.starts) > 1:
        return f"No setting {came} the SFT policy it began from. Of them, "
    return (
        f"No setting {came} the SFT policy that all began from, whose {name} reward is"
        f" {brief(sft_interval(findings.best, findings.key))}. Of them, "
    )

"""The first sentence of a comparison, and the same in short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlhf.compare.read.curves import KL
from rlhf.compare.read.provenance import starts
from rlhf.compare.statistics.estimates import gap
from rlhf.compare.statistics.findings import CLEAR, Findings, show
from rlhf.compare.statistics.intervals import BOTH, EVALUATION, Interval, say
from rlhf.compare.statistics.matched import Rival
from rlhf.compare.statistics.settings import Setting

APART = (
    " KL is to different SFT policies here: settings that began from different ones are not at the"
    " same place at the same KL, and what they gained is not told apart from where they began."
)


def headline(
    found: Findings,
    settings: Sequence[Setting],
    there: Interval,
    other: Rival | None,
    before: Rival | None,
) -> str:
    """`there`: what the best ended with. `before`: who is clearly better nearer to SFT."""
    apart = APART if len(starts(settings)) > 1 else ""
    return (
        _beside_sft(found, settings)
        + _headline(found, there, other)
        + _nearer(found.best, before)
        + apart
    )


def title(found: Findings, settings: Sequence[Setting], other: Rival | None) -> str:
    """The headline without its numbers."""
    name, label = found.key.removeprefix("reward/"), found.best.label
    came = _came(found, settings)
    if came:
        return f"No setting's {name} reward {came} SFT's"
    text = f"{name.capitalize()} reward is highest at {label}"
    if other is not None and other.at_best_end:
        them = other.setting.label
        if other.difference.mean < 0:
            text += f", but not higher than that of {them} at the same KL"
        elif other.clear:
            text = f"{name.capitalize()} reward is best at {label}, at matched KL"
        else:
            text += f", not told apart from {them}"
    return text + (
        f"; {found.gamed.label} games the proxy" if found.gamed is not None and found.clear else ""
    )


def _headline(found: Findings, there: Interval, other: Rival | None) -> str:
    label, name = found.best.label, found.key.removeprefix("reward/")
    kl = found.best[KL].mean
    at = f" at {kl:.3g} nats" if math.isfinite(kl) else ""
    if other is None:
        return (
            f"{label} is best by {name} reward: {say(there)}{at}. No other setting can be held"
            " against it at the same KL."
        )
    them, ours_less = other.setting.label, other.difference
    ours, theirs = _said(other)
    if not other.at_best_end:
        then = (
            f": with no more KL than that, {them} is better"
            if other.clear and ours_less.mean < 0
            else ""
        )
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


def _said(other: Rival) -> tuple[str, str]:
    """(Ours, theirs), with the seeds where not all of them can be read off or held against the
    other."""
    if other.at_best_end and other.matched < other.ended:
        ours = f", held against {say(other.ours)} of {other.matched} of the {other.ended} runs"
    else:
        ours = ""
    seeds = f" ({other.reached} of {other.runs} seeds)" if other.reached < other.runs else ""
    return (
        say(other.ours) + (seeds if not other.at_best_end else ""),
        say(other.theirs) + (seeds if other.at_best_end else "") + ours,
    )


def _nearer(best: Setting, before: Rival | None) -> str:
    if before is None:
        return ""
    ours, theirs = _said(before)
    return (
        f" At the {before.kl:.3g} nats where {before.setting.label} ended, that is better: {theirs}"
        f" against {ours} of {best.label}, then with {before.share:.0%} of its training done, and"
        f" the difference is {_sure(before)}."
    )


def _sure(other: Rival) -> str:
    found = other.difference
    if found.clear_of_zero and found.source == EVALUATION:
        return "more than the noise of evaluating, but each has one seed"
    if found.clear_of_zero and found.source == BOTH:
        return "more than the noise that is known, but one of the two has one seed there"
    if other.clear:
        return "clear of zero"
    if found.clear_of_zero:
        return "clear of zero by the bootstrap, but not by a t-test"
    return "within the noise" if found.known else "not known to be more than noise"


def _more(other: Rival) -> str:
    if other.clear:
        return "more"
    if other.difference.clear_of_zero and other.difference.source == BOTH:
        return "more, as far as one seed can tell"
    return (
        "as much, within the noise"
        if other.difference.known
        else "more, by a measure whose noise is not known"
    )


def _came(found: Findings, settings: Sequence[Setting]) -> str:
    """What no setting did to SFT, empty where one is clearly better than it."""
    gains = [gap(s[found.key], s.sft[found.key]) for s in settings if found.key in s.sft]
    if not gains or not all(gain < CLEAR for gain in gains):
        return ""
    return "came up to" if found.gain <= -CLEAR else "is clearly better than"


def _beside_sft(found: Findings, settings: Sequence[Setting]) -> str:
    """What comes first where no setting is clearly better than the policy it began from."""
    came, name = _came(found, settings), found.key.removeprefix("reward/")
    if not came:
        return ""
    if len(starts(settings)) > 1:
        return f"No setting {came} the SFT policy it began from. Of them, "
    return (
        f"No setting {came} the SFT policy that all began from, whose {name} reward is"
        f" {show(found.best.sft[found.key])}. Of them, "
    )

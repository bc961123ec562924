"""The leader beside another setting at the same KL, in words."""

from __future__ import annotations

import math

from rlhf.compare.read import named
from rlhf.compare.statistics import (
    BORROWED,
    EVALUATION,
    Interval,
    Nearer,
    Rival,
    Setting,
    Study,
    say,
    setting_interval,
)
from rlhf.metrics import KL


def at_equal_kl(study: Study, leader: Setting, key: str, other: Rival | None) -> str:
    """Sentences: the leader's end, the strongest other setting at that KL, and the setting that is
    better at a smaller one. `key`: of the reward."""
    sentences = [_end(leader, key)]
    if len(study.settings) > 1:
        sentences.append(_beside(leader, key, other))
    nearer, named_above = (
        study.nearer,
        other.setting.label if other and not other.at_best_end else "",
    )
    if nearer is not None and nearer.setting != named_above:
        sentences.append(_nearer(nearer, named(key)))
    if len(study.starts) > 1:
        sentences.append(
            "The settings began from different SFT policies, and KL is to each one's own: equal KLs"
            " do not mean equal policies."
        )
    return " ".join(filter(None, sentences))


def _end(leader: Setting, key: str) -> str:
    kl = setting_interval(leader, KL)
    at = f" at a KL of {say(kl)} nats per response" if math.isfinite(kl.mean) else ""
    return (
        f"At the end of training {leader.label} has {named(key)}"
        f" {say(setting_interval(leader, key))}{at}."
    )


def _beside(leader: Setting, key: str, other: Rival | None) -> str:
    if other is None:
        return (
            f"No other setting has a reading at the KL of {leader.label}, so none can be compared"
            " with it at equal KL."
        )
    them, (ours, theirs) = other.setting.label, _readings(leader, other)
    if other.at_best_end:
        first = f"At that KL {them} has {theirs} during its training"
        if other.difference.mean >= 0:
            return f"{first}, {say(other.difference)} less{_held(other)}: {_sure(other)}."
        more = say(_turned(other.difference))
        return (
            f"{first}, {more} more{_held(other)}: {_sure(other)}. Stopping {them} early may do as"
            f" well as {leader.label}."
        )
    is_more = other.difference.mean < 0
    difference = _turned(other.difference) if is_more else other.difference
    return (
        f"No other setting has a reading at that KL. At {other.kl:.3g} nats, where {them} ended,"
        f" {them} has {theirs}: {say(difference)} {'more' if is_more else 'less'} than"
        f" {leader.label} had there during its training ({ours}), {_sure(other)}."
    )


def _turned(i: Interval) -> Interval:
    return Interval(-i.mean, -i.high, -i.low, i.n, i.source, i.prompts)


def _readings(leader: Setting, other: Rival) -> tuple[str, str]:
    """(The leader's number, the other's), with the seeds where some have no reading."""
    seeds = f" in {other.reached} of {other.runs} seeds" if other.reached < other.runs else ""
    ours, theirs = say(other.ours), say(other.theirs)
    return (ours, theirs + seeds) if other.at_best_end else (ours + seeds, theirs)


def _held(other: Rival) -> str:
    """The runs of the leader that the other was compared with, where that is not all."""
    if other.matched == other.ended:
        return ""
    return f" than {say(other.ours)} of the {other.matched} of {other.ended} runs with such a KL"


def _nearer(nearer: Nearer, name: str) -> str:
    sure = "" if nearer.over_seeds else " (more than the noise of the readings, but of one seed)"
    return (
        f"At {nearer.kl:g} nat{'s' if nearer.kl != 1 else ''} {nearer.setting} has {name}"
        f" {say(nearer.setting_reward)} and {nearer.instead_of} {say(nearer.instead_reward)}{sure}."
    )


def _sure(other: Rival) -> str:
    difference = other.difference
    if difference.clear_of_zero and difference.source == EVALUATION:
        return "more than evaluation noise, but each has one seed, so run more"
    if difference.clear_of_zero and difference.source == BORROWED:
        return "clear only if the one seed varies as the others do, so run more"
    if difference.clear_of_zero:
        return "statistically clear"
    return "not statistically clear" if difference.known else "of unknown error"

"""The verdict of a sweep in at most 35 words: the same on the page, in the terminal, in report.md
and in MLflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rlhf.compare.read import named
from rlhf.compare.statistics import (
    Claim,
    Interval,
    Setting,
    Study,
    gain,
    say,
    setting_interval,
    sft_interval,
)
from rlhf.compare.text.endless import higher_without_end
from rlhf.metrics import GOLD, KL

MOST_WORDS = 35
BesideSFT = Literal["more", "less", "unclear", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a verdict is made of. Settings by their names."""

    name: str  # gold reward
    leader: str
    reward: str  # of the leader at the end
    kl: str  # "" where it is not known
    claim: Claim
    tied: Sequence[str] = ()  # not told apart from the leader
    beside_sft: BesideSFT = "unknown"
    sft: str = ""  # its reward
    nearer: tuple[str, str] | None = None  # below so many nats that setting is better
    gamed: str = ""  # a setting with the highest proxy reward and clearly less gold
    gamed_by_one_seed: bool = False  # it, or the leader, has one
    no_gold: bool = False
    several_starts: bool = False
    endless: bool = False  # no setting's responses end
    only_ending: bool = False  # there are others, and their responses never end
    unended: Sequence[str] = ()  # settings with more reward whose responses never end
    others: Sequence[str] = field(default=())


def verdict_sentences(study: Study) -> str:
    """The verdict: what to use, and what is against it, in at most 35 words."""
    facts = facts_of(study)
    if facts is None:
        if not study.settings:
            return "No run of this sweep has finished yet."
        if any(math.isfinite(s[key].mean) for s in study.settings for key in study.rewards):
            return (
                "The settings maximised different rewards, and none was measured in all of them:"
                " there is nothing to rank them by."
            )
        return "No finished run reports a finite reward: there is nothing to rank."
    return in_words(facts)


def in_words(facts: Facts) -> str:
    """The sentences of a verdict, the most important first, as many as 35 words hold."""
    kept: list[str] = []
    for choices in (_first(facts), _unended(facts), _starts(facts), _nearer(facts), _gamed(facts)):
        fitting = (s for s in choices if words(" ".join([*kept, s])) <= MOST_WORDS)
        sentence = next(fitting, "")
        kept += [sentence] if sentence else []
    return " ".join(kept)


def words(text: str) -> int:
    return len(text.split())


def _first(facts: Facts) -> list[str]:
    """What to use: the longest form first, in case a name is long."""
    label, at = facts.leader, f" at {facts.kl} nats" if facts.kl else ""
    reached = f"{facts.name} {facts.reward}{at}"
    if facts.endless:
        return [
            f"No setting's responses end, so none is best. {label} has the highest {facts.name},"
            f" {facts.reward}{at}.",
            "No setting's responses end, so none is best.",
        ]
    if facts.beside_sft == "less":
        return [
            f"Keep SFT, {facts.name} {facts.sft}: the best setting, {label}, has {facts.reward}."
        ]
    if facts.beside_sft == "unclear":
        return [
            f"No setting clearly beats SFT ({facts.name} {facts.sft}). {label} is highest:"
            f" {facts.reward}{at}. More seeds may tell.",
            f"No setting clearly beats SFT. {label} is highest.",
        ]
    if facts.claim == "alone":
        if facts.only_ending:
            return [
                f"{label} reaches {reached}: the only setting whose responses end.",
                f"Use {label}.",
            ]
        return [f"{label} reaches {reached}. There is no other setting to compare it with."]
    if facts.claim == "order":
        return [
            f"{label} is first, with {reached}. One seed tells no winner: run more seeds before"
            " choosing.",
            f"{label} is first by one seed: run more seeds before choosing.",
        ]
    if facts.claim == "tied":
        short = " and ".join(facts.tied) if len(facts.tied) < 3 else f"{len(facts.tied)} others"
        return [
            f"Use {label}: {reached}. {short} may be as good.",
            f"Use {label}: {reached}. {len(facts.tied)} others may be as good.",
            f"Use {label}. Others may be as good.",
        ]
    return [
        f"Use {label}: {reached}, the best of {len(facts.others) + 1} settings.",
        f"Use {label}.",
    ]


def _unended(facts: Facts) -> list[str]:
    if not facts.unended:
        return []
    first, *others = facts.unended
    some = f"{first} and {len(others)} others have" if others else f"{first} has"
    return [
        f"{some} more {facts.name}, but responses that never end.",
        f"{first}'s responses never end.",
    ]


def _nearer(facts: Facts) -> list[str]:
    if facts.nearer is None or facts.endless or facts.beside_sft == "less":
        return []
    kl, setting = facts.nearer
    return [f"Below {kl} nats use {setting}."]


def _gamed(facts: Facts) -> list[str]:
    if facts.no_gold:
        return ["Gold reward was not measured, so over-optimisation cannot be seen."]
    if not facts.gamed:
        return []
    if facts.gamed_by_one_seed:
        return [f"{facts.gamed} may game the reward model: the highest proxy reward, less gold."]
    return [
        f"{facts.gamed} games the reward model: the highest proxy reward, clearly less gold.",
        f"{facts.gamed} games the reward model.",
    ]


def _starts(facts: Facts) -> list[str]:
    return ["KLs are to different SFT policies."] * facts.several_starts


def facts_of(study: Study) -> Facts | None:
    """The facts of a study; None where no setting has a finite reward."""
    findings, verdict = study.findings, study.verdict
    if findings is None or verdict is None:
        return None
    leader, key = verdict.leader, verdict.key
    kl = setting_interval(leader, KL)
    nearer = study.nearer
    unended = higher_without_end(study, findings)
    gamed = findings.gamed if findings.clear else None
    return Facts(
        name=named(key),
        leader=leader.label,
        reward=mean_of(setting_interval(leader, key)),
        kl=mean_of(kl) if math.isfinite(kl.mean) else "",
        claim=verdict.claim,
        tied=[s.label if len(s.values) > 1 else s.short for s in verdict.tied],
        beside_sft=_beside_sft(study.settings, key),
        sft=mean_of(sft_interval(leader, key)) if key in leader.sft else "",
        nearer=(f"{nearer.kl:g}", nearer.setting) if nearer and nearer.over_seeds else None,
        gamed=gamed.label if gamed is not None else "",
        gamed_by_one_seed=findings.drop.n < 2,
        no_gold=key != GOLD,
        several_starts=len(study.starts) > 1,
        endless=leader.never_ends,
        only_ending=verdict.claim == "alone" and any(s.never_ends for s in study.settings),
        unended=[s.label for s in unended],
        others=[margin.setting.label for margin in verdict.margins],
    )


def mean_of(interval: Interval) -> str:
    """The mean, with the digits that its interval deserves, four at most."""
    return say(interval).partition(" ")[0]


def _beside_sft(settings: Sequence[Setting], key: str) -> BesideSFT:
    """Whether some setting is clearly better than SFT, or all are clearly worse: at 95 % for all
    settings together (Bonferroni)."""
    those = [s for s in settings if key in s.sft]
    gains = [gain(s, key, 1 - 0.05 / len(those)) for s in those]
    if not any(g.known for g in gains):
        return "unknown"
    if any(g.low > 0 for g in gains):
        return "more"
    return "less" if all(g.high < 0 for g in gains if g.known) else "unclear"

"""The rules by which a policy of a frontier is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.choice.candidates import Candidate
from rlhf.compare.choice.differences import Difference, less
from rlhf.compare.choice.knee import Knee, knee
from rlhf.compare.read import named
from rlhf.compare.statistics import Study
from rlhf.compare.statistics.means import NOTHING
from rlhf.metrics import GOLD, KL, PROXY

NEAR = (
    0.2  # of the KL that was asked for: a mean further away is not at it, however wide its interval
)


class NoChoice(ValueError):
    """Nothing can be chosen. The message says why, and what can."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The chosen candidate, and what would be next by the same rule."""

    rule: str  # what was asked, in words
    key: str  # of the reward that decided
    chosen: Candidate
    following: Candidate | None
    notes: tuple[str, ...] = ()
    target: float = math.nan  # nats that were asked for
    knee: Knee | None = None

    @property
    def difference(self) -> Difference | None:
        """The chosen one's reward less that of the next."""
        return less(self.chosen, self.following, self.key) if self.following is not None else None


def deciding(study: Study, every: Sequence[Candidate], asked: str | None) -> str:
    """The key of the reward that decides: the one asked for, else gold where some candidate has it,
    else proxy."""
    known = {key for c in every for key in study.rewards if math.isfinite(c.mean(key))}
    names = ", ".join(sorted(key.removeprefix("reward/") for key in known)) or "none"
    if asked is not None:
        key = f"reward/{asked.removeprefix('reward/')}"
        if key not in known:
            raise NoChoice(f"--reward {asked}: there is no such reward here ({names})")
        return key
    if not known:
        raise NoChoice("no run reports a finite reward: there is nothing to choose by")
    return next((key for key in (GOLD, PROXY) if key in known), min(known))


def gold_key(study: Study, every: Sequence[Candidate], asked: str | None, flag: str) -> str:
    """Gold, or the reward that was asked for instead; a rule about gold takes no other unasked."""
    key = deciding(study, every, asked)
    if asked is None and key != GOLD:
        raise NoChoice(
            f"{flag}: no gold reward was measured; --reward {key.removeprefix('reward/')} chooses"
            f" by the {named(key)} instead, which a policy may have gamed"
        )
    return key


def with_reward(every: Sequence[Candidate], key: str) -> list[Candidate]:
    return [c for c in every if math.isfinite(c.mean(key))]


def off(candidate: Candidate, kl: float) -> float:
    """How far a candidate's KL is from `kl`, nats: 0 where its 95 % interval, cut to its mean ±
    a fifth of `kl`, holds it, else from the nearest end."""
    there, reach = candidate.interval(KL), NEAR * kl
    low, high = (
        (max(there.low, there.mean - reach), min(there.high, there.mean + reach))
        if there.known
        else (there.mean, there.mean)
    )
    return max(low - kl, kl - high, 0.0)


def at_kl(every: Sequence[Candidate], key: str, kl: float) -> Choice:
    """Of those whose KL is nearest to `kl` (`off`) the one with the most reward."""
    ranked = sorted(
        with_reward(every, key), key=lambda c: (round(off(c, kl), 9), -c.mean(key), c.mean(KL))
    )
    chosen = ranked[0]
    away = off(chosen, kl)
    few = f"Nothing is at {kl:g} nats; the nearest is {away:.2g} nats away."
    rule = f"the most {named(key)} at the KL nearest to {kl:g} nats"
    return _choice(rule, key, ranked, notes=(few,) if away > 0 else (), target=kl)


def at_most(every: Sequence[Candidate], key: str, kl: float) -> Choice:
    """The most reward among those with a mean KL of at most `kl`."""
    known = with_reward(every, key)
    within = [c for c in known if c.mean(KL) <= kl]
    if not within:
        least = min(known, key=lambda c: c.mean(KL))
        raise NoChoice(
            f"nothing has a KL of at most {kl:g} nats; the least is {least.mean(KL):.3g}"
            f" ({least.label})"
        )
    ranked = sorted(within, key=lambda c: (-c.mean(key), c.mean(KL)))
    above = ranked[0].interval(KL)
    notes = (
        (f"Its KL may be above {kl:g} nats: the interval reaches to {above.high:.3g}.",)
        if above.high > kl
        else ()
    )
    rule = f"the most {named(key)} at a KL of at most {kl:g} nats"
    return _choice(rule, key, ranked, notes=notes, target=kl)


def at_knee(study: Study, every: Sequence[Candidate], key: str) -> Choice:
    """The knee of the frontier of this reward (`rlhf.compare.choice.knee`)."""
    known = with_reward(every, key)
    starts = [s.sft[key] for s in study.settings if key in s.sft]
    start = starts[0] if starts and len(study.starts) == 1 else NOTHING
    bend = knee(known, key, start)
    if bend is None:
        raise NoChoice(
            f"--knee: no policy has more {named(key)} than SFT, so the frontier goes nowhere;"
            " --kl X chooses by the KL alone"
        )
    ranked = sorted(
        (i for i, y in enumerate(bend.above) if math.isfinite(y)),
        key=lambda i: (i != bend.at, -bend.above[i], known[i].mean(KL)),
    )
    straight = bend.above[bend.at] <= 0
    note = "The frontier is no curve that flattens: this is its end, not a bend."
    rule = f"the knee of {named(key)} against KL"
    notes = (note,) if straight else ()
    return _choice(rule, key, [known[i] for i in ranked], notes=notes, knee=bend)


def before_fall(every: Sequence[Candidate], key: str) -> Choice:
    """The largest KL of those whose reward is below the most by no more than the standard error of
    their difference."""
    known = sorted(with_reward(every, key), key=lambda c: c.mean(KL))
    top = max(known, key=lambda c: (c.mean(key), -c.mean(KL)))
    kept = [
        c for c in known if c is top or (c.mean(KL) > top.mean(KL) and _within(less(top, c, key)))
    ]
    beyond = known[known.index(kept[-1]) + 1 :]
    below = known[: known.index(top)]
    rule = f"the furthest before {named(key)} falls"
    ranked = [*kept[::-1], *sorted(below, key=lambda c: -c.mean(key))]
    return _choice(rule, key, ranked, notes=(_fall(top, beyond, key),))


def _within(difference: Difference) -> bool:
    """Whether it is no more than its standard error; of an unknown error only none at all."""
    known = difference.error if math.isfinite(difference.error) else 0.0
    return difference.mean <= known


def _fall(top: Candidate, beyond: Sequence[Candidate], key: str) -> str:
    """Says what is left of the reward further out."""
    if not beyond:
        return f"Nothing is further out: that {named(key)} falls was not seen."
    most = max(beyond, key=lambda c: c.mean(key))
    lost = less(top, most, key)
    sure = (
        "clear at 95 %" if lost.interval.low > 0 else "more than the error, but not clear at 95 %"
    )
    return (
        f"Further out the most is {most.label} at {most.mean(KL):.3g} nats, {lost.mean:.2g} less"
        f" than {top.label}: {sure}."
    )


def _choice(
    rule: str,
    key: str,
    ranked: Sequence[Candidate],
    *,
    notes: tuple[str, ...] = (),
    target: float = math.nan,
    knee: Knee | None = None,
) -> Choice:
    return Choice(
        rule=rule,
        key=key,
        chosen=ranked[0],
        following=ranked[1] if len(ranked) > 1 else None,
        notes=notes,
        target=target,
        knee=knee,
    )

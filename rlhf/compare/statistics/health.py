"""The known sicknesses of RLHF runs, each a rule with a number and a plain sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from rlhf.compare.read import Run, final, series
from rlhf.compare.statistics.findings import CLEAR
from rlhf.compare.statistics.settings import FEWER, UNENDED, Setting, never_ends
from rlhf.compare.statistics.step_response import steering
from rlhf.metrics import ENDED, ENTROPY, GOLD, KL, LENGTH, PROXY, SCORE
from rlhf.rundir.read import number

LONGER, SHORTER = 1.5, 0.5  # length at the end over SFT's
COLLAPSED = 0.25  # entropy at the end over SFT's
OFF_TARGET = 2.0  # KL over the controller's target
SURPRISE = 2.0  # KL over the entropy of SFT's own responses
CLIPPED = 0.05  # share of scores at reward_clip
EQUAL = 0.5  # share of rollouts whose rewards are all equal
EMPTY = 0.25  # share of responses without a token before EOS
SAME = 1e-6  # of a score and a reward that are one

RULES = {
    "Length gaming": (
        f"length {LONGER:g} times SFT's, or half of it, while proxy rose and gold fell by more than"
        " its noise"
    ),
    "Entropy collapse": f"entropy per token below {COLLAPSED:.0%} of SFT's",
    "Value divergence": (
        "explained variance below 0 in the last quarter of training, or a value loss that is no"
        " number"
    ),
    "KL blow-up": (
        f"KL above {OFF_TARGET:g} times the controller's target, or above {SURPRISE:g} times SFT's"
        " own entropy a response"
    ),
    "Reward at its clip": (
        f"more than {CLIPPED:.0%} of the scores cut by reward_clip in the last quarter"
    ),
    "Never ends": (
        f"more than {UNENDED:.0%} without EOS at the end, and fewer with one than {FEWER:.0%} of"
        " SFT's share"
    ),
    "Equal rewards": (
        f"all rewards of a rollout are equal in more than {EQUAL:.0%} of the last quarter"
    ),
    "Empty responses": (
        f"EOS is the first token of more than {EMPTY:.0%} of the responses in the last quarter"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Sickness:
    """`runs` of the setting's `of` runs have it; the sentence tells of the first."""

    kind: str
    setting: str
    runs: int
    of: int
    sentence: str


def diagnose(settings: Sequence[Setting], runs: Sequence[Run] = ()) -> list[Sickness]:
    """Every sickness of every setting, by kind in the order of RULES; after them those of the
    failed among `runs`."""
    patients = [(s.label, s.runs) for s in settings] + [
        (f"{run.name} (failed)", (run,)) for run in runs if run.status == "failed"
    ]
    return [
        Sickness(kind=kind, setting=name, runs=len(ill), of=len(those), sentence=ill[0])
        for kind, check in CHECKS.items()
        for name, those in patients
        if (ill := [sentence for run in those if (sentence := check(run))])
    ]


def well(settings: Sequence[Setting]) -> str:
    """Says, where no sickness was found, how many runs were checked for which."""
    runs = [run for s in settings for run in s.runs]
    silent = [kind for kind, check in CHECKS.items() if all(check(run) is None for run in runs)]
    if len(silent) == len(CHECKS):
        return "There was nothing to check: no finished run recorded what the rules look at."
    none = (
        f"None of the known sicknesses was found in the {len(runs)} finished"
        f" run{'s' if len(runs) != 1 else ''}"
    )
    return none + (f"; nothing was recorded that tells of {', '.join(silent)}." if silent else ".")


def by_kind(sick: Sequence[Sickness]) -> list[tuple[Sickness, list[Sickness]]]:
    """Each kind once, of the setting that has it most; beside it the others that have it."""
    kinds = {
        kind: [s for s in sick if s.kind == kind] for kind in dict.fromkeys(s.kind for s in sick)
    }
    firsts = [max(those, key=lambda s: s.runs / s.of) for those in kinds.values()]
    return [(first, [s for s in kinds[first.kind] if s is not first]) for first in firsts]


# A check tells what is wrong, "" where nothing is, None where the run recorded nothing that it
# could be told by.


def length_gaming(run: Run) -> str | None:
    length, proxy, gold = (series(run, f"eval/{key}") for key in (LENGTH, PROXY, GOLD))
    if len(length) < 2 or len(proxy) < 2 or length[0][1] <= 0:
        return None
    start, end = length[0][1], length[-1][1]
    rose = proxy[-1][1] - proxy[0][1]
    if SHORTER < end / start < LONGER or rose <= 0:
        return ""
    beside = "no gold reward says whether that is better"
    if len(gold) > 1:
        fell, ses = gold[0][1] - gold[-1][1], series(run, f"eval/{GOLD}_se")
        if fell <= (CLEAR * math.hypot(ses[0][1], ses[-1][1]) if ses else 0.0):
            return ""
        beside = f"gold fell by {fell:.2g}"
    return (
        f"Responses went from {start:.3g} to {end:.3g} tokens while proxy rose by {rose:.2g};"
        f" {beside}."
    )


def entropy_collapse(run: Run) -> str | None:
    entropy = series(run, f"eval/{ENTROPY}")
    if len(entropy) < 2:
        return None
    start, end = entropy[0][1], entropy[-1][1]
    sentence = (
        f"Entropy fell from {start:.3g} to {end:.2g} nats per token: the policy"
        " says nearly the same thing every time."
    )
    return sentence if end < COLLAPSED * start else ""


def value_divergence(run: Run) -> str | None:
    losses = [
        loss for row in run.metrics if (loss := number(row.get("ppo/value_loss"))) is not None
    ]
    if not all(map(math.isfinite, losses)):
        return "The value loss stopped being a number."
    explained = _late(series(run, "ppo/explained_variance"))
    if not explained:
        return "" if losses else None
    sentence = (
        "The value model ends no better than a constant (explained variance"
        f" {median(explained):.2f}), so advantages are mostly noise."
    )
    return sentence if median(explained) < 0 else ""


def kl_blow_up(run: Run) -> str | None:
    kl = _late(series(run, KL, f"eval/{KL}"))
    if not kl:
        return None
    end, steered = median(kl), steering(run)
    if steered.unit == "sequence":
        goal = steered.target
        sentence = (
            f"The KL of the last rollouts (median {end:.3g} nats) is {end / goal:.1f} times the"
            f" target of {goal:g}."
        )
        return sentence if end > OFF_TARGET * goal else ""
    entropy, length = series(run, f"eval/{ENTROPY}"), series(run, f"eval/{LENGTH}")
    if not entropy or not length:
        return None
    own = entropy[0][1] * length[0][1]
    sentence = (
        f"The KL of the last rollouts (median {end:.3g} nats) is far above the entropy of SFT's own"
        f" responses ({own:.2g} nats): SFT would almost never write these responses."
    )
    return sentence if end > SURPRISE * own else ""


def reward_at_clip(run: Run) -> str | None:
    clipped = _late(series(run, "ppo/score_clipped"))
    if not clipped:
        return None
    sentence = (
        f"{fmean(clipped):.0%} of the scores were cut by reward_clip"
        f" ({run.config.get('scorer.reward_clip', '?')}): higher scores are not told apart."
    )
    return sentence if fmean(clipped) > CLIPPED else ""


def unended(run: Run) -> str | None:
    ended = series(run, f"eval/{ENDED}")
    if not ended:
        return None
    if not never_ends(run):
        return ""
    score, rewards = final(run, SCORE), [(k, final(run, k)) for k in (PROXY, GOLD)]
    others = [
        f"{key.removeprefix('reward/')} {reward:.2f}"
        for key, reward in rewards
        if math.isfinite(reward) and abs(reward - score) > SAME
    ]
    beside = (
        f" The score that is maximised is {score:.2f}, {' and '.join(others)}." if others else ""
    )
    return (
        f"{1 - ended[-1][1]:.0%} of the responses to held-out prompts ran into the length limit"
        f" without an EOS (SFT: {1 - ended[0][1]:.0%}).{beside}"
    )


def equal_rewards(run: Run) -> str | None:
    equal = _late(series(run, "rollout/equal_rewards"))
    if not equal:
        return None
    sentence = (
        f"All rewards were equal in {fmean(equal):.0%} of the last rollouts: they prefer no"
        " response."
    )
    return sentence if fmean(equal) > EQUAL else ""


def empty(run: Run) -> str | None:
    counts, drawn = (_late(series(run, f"rollout/{key}")) for key in ("empty", "responses"))
    if not counts or not sum(drawn):
        return None
    share = sum(counts) / sum(drawn)
    return f"{share:.0%} of the last rollouts' responses are empty." if share > EMPTY else ""


CHECKS: dict[str, Callable[[Run], str | None]] = {
    "Length gaming": length_gaming,
    "Entropy collapse": entropy_collapse,
    "Value divergence": value_divergence,
    "KL blow-up": kl_blow_up,
    "Reward at its clip": reward_at_clip,
    "Never ends": unended,
    "Equal rewards": equal_rewards,
    "Empty responses": empty,
}


def _late(points: Sequence[tuple[int, float]]) -> list[float]:
    """The values of the last quarter of training."""
    return [v for _, v in points[-max(len(points) // 4, 1) :]]

"""The known sicknesses of RLHF runs, each a rule with a number and a plain sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from rlhf.compare.load import Run
from rlhf.compare.paths import KL, series
from rlhf.compare.settings import Setting
from rlhf.tracking.spool import number

LONGER, SHORTER = 1.5, 0.5  # length at the end over SFT's
COLLAPSED = 0.25  # entropy at the end over SFT's
OFF_TARGET = 2.0  # KL over the controller's target
SURPRISE = 2.0  # KL over the entropy of SFT's own responses
CLIPPED = 0.05  # share of scores at reward_clip
UNENDED = 0.5  # share of responses without EOS

RULES = {
    "Length gaming": f"length {LONGER:g} times SFT's, or half of it, while proxy rose and gold did not",
    "Entropy collapse": f"entropy per token below {COLLAPSED:.0%} of SFT's",
    "Value divergence": "explained variance below 0 in the last quarter of training, or a value loss that is no number",
    "KL blow-up": f"KL above {OFF_TARGET:g} times the controller's target, or above {SURPRISE:g} times SFT's own entropy a response",
    "Reward at its clip": f"more than {CLIPPED:.0%} of the scores cut by reward_clip in the last quarter",
    "Responses that do not end": f"more than {UNENDED:.0%} without EOS at the end",
}


@dataclass(frozen=True, kw_only=True)
class Sickness:
    """`runs` of the setting's `of` runs have it; the sentence tells of the first."""

    kind: str
    setting: str
    runs: int
    of: int
    sentence: str


def diagnose(settings: Sequence[Setting]) -> list[Sickness]:
    """Every sickness of every setting, by kind in the order of RULES."""
    found = []
    for kind, check in CHECKS.items():
        for setting in settings:
            told = [said for run in setting.runs if (said := check(run)) is not None]
            if told:
                found.append(Sickness(kind=kind, setting=setting.label, runs=len(told), of=len(setting.runs), sentence=told[0]))
    return found


def length_gaming(run: Run) -> str | None:
    length, proxy, gold = (series(run, f"eval/{key}") for key in ("response/length", "reward/proxy", "reward/gold"))
    if len(length) < 2 or len(proxy) < 2 or length[0][1] <= 0:
        return None
    start, end = length[0][1], length[-1][1]
    grew, rose = end / start, proxy[-1][1] - proxy[0][1]
    gold_rose = gold[-1][1] - gold[0][1] if len(gold) > 1 else None
    if SHORTER < grew < LONGER or rose <= 0 or (gold_rose is not None and gold_rose > 0):
        return None
    beside = f"gold fell by {-gold_rose:.2g}" if gold_rose is not None else "no gold reward says whether that is better"
    return f"Responses went from {start:.3g} to {end:.3g} tokens while proxy rose by {rose:.2g}; {beside}."


def entropy_collapse(run: Run) -> str | None:
    entropy = series(run, "eval/policy/entropy")
    if len(entropy) < 2 or entropy[-1][1] >= COLLAPSED * entropy[0][1]:
        return None
    return f"Entropy fell from {entropy[0][1]:.3g} to {entropy[-1][1]:.2g} nats a token: the policy says nearly the same thing every time."


def value_divergence(run: Run) -> str | None:
    if any(math.isnan(v) or math.isinf(v) for row in run.metrics if (v := number(row.get("ppo/value_loss"))) is not None):
        return "The value loss stopped being a number."
    explained = _late(series(run, "ppo/explained_variance"))
    if not explained or median(explained) >= 0:
        return None
    return f"The value model ends no better than a constant (explained variance {median(explained):.2f}), so advantages are mostly noise."


def kl_blow_up(run: Run) -> str | None:
    kl = _late(series(run, KL, f"eval/{KL}"))
    if not kl:
        return None
    end, target = median(kl), target_nats(run)
    if target is not None:
        return f"KL ended at {end:.3g} nats, {end / target:.1f} times the target of {target:g}." if end > OFF_TARGET * target else None
    entropy, length = series(run, "eval/policy/entropy"), series(run, "eval/response/length")
    own = entropy[0][1] * length[0][1] if entropy and length else math.nan
    if not end > SURPRISE * own:
        return None
    return f"KL ended at {end:.3g} nats; SFT's own responses carry about {own:.2g}, so SFT would practically never write what this writes."


def reward_at_clip(run: Run) -> str | None:
    clipped = _late(series(run, "ppo/score_clipped"))
    if not clipped or fmean(clipped) <= CLIPPED:
        return None
    return (
        f"{fmean(clipped):.0%} of the scores were cut by reward_clip ({run.config.get('ppo.reward_clip', '?')}): PPO cannot see above it."
    )


def unended(run: Run) -> str | None:
    ended = series(run, "eval/response/ended")
    if not ended or 1 - ended[-1][1] <= UNENDED:
        return None
    return f"{1 - ended[-1][1]:.0%} of the responses ran into the length limit without an EOS (SFT: {1 - ended[0][1]:.0%})."


CHECKS: dict[str, Callable[[Run], str | None]] = {
    "Length gaming": length_gaming,
    "Entropy collapse": entropy_collapse,
    "Value divergence": value_divergence,
    "KL blow-up": kl_blow_up,
    "Reward at its clip": reward_at_clip,
    "Responses that do not end": unended,
}


def target_nats(run: Run) -> float | None:
    """The KL that the run's controller steers to, in nats a response; None where it has none or counts per token."""
    target = number(run.config.get("kl.controller.target"))
    per_token = run.config.get("kl.controller.unit", "sequence") == "token"
    return target if target is not None and target > 0 and not per_token else None


def _late(points: Sequence[tuple[int, float]]) -> list[float]:
    """The values of the last quarter of training."""
    return [v for _, v in points[-max(len(points) // 4, 1) :]]

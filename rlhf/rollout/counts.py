"""What can be wrong with a rollout although every number is finite: counted each iteration, and
told once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.types import ScoredRollout

log = logging.getLogger(__name__)

RESPONSES, NONFINITE, EQUAL = "rollout/responses", "rollout/nonfinite", "rollout/equal_rewards"
HUGE, EMPTY = "rollout/huge_rewards", "rollout/empty"
GAP, OFF = "rollout/logp_gap", "rollout/logp_off"
GAP_MEAN = "rollout/logp_gap_mean"
MANY_EMPTY = 0.25  # share of a rollout's responses
ROUNDING = 2.0**-24  # of a float32, relative
SQUARE_ROOT: float = torch.finfo(torch.float32).max ** 0.5  # 1.8e19: squares beyond it overflow

Record = Mapping[str, float]


def rollout_counts(scored: ScoredRollout, coef: float, *, drawn: int) -> dict[str, float]:
    """Counts of a training rollout: responses that were `drawn`, those of them that were left
    out, empty ones (their first token is EOS), ones with a reward that is too large; and 1 where
    all rewards are equal."""
    score, rollout = scored.score, scored.rollout
    return {
        RESPONSES: float(drawn),
        NONFINITE: float(drawn - len(score)),
        EMPTY: float(is_empty(rollout.ended, rollout.mask).sum()),
        EQUAL: float(len(score) > 1 and bool((score == score[0]).all())),
        HUGE: float((score.abs() > largest_reward(coef)).sum()),
    }


def largest_reward(coef: float) -> float:
    """The |reward| up to which float32 holds what training makes of it.

    Beyond coef * 2^24 the sum reward - coef * KL rounds away a whole nat of KL; beyond 1.8e19 the
    squares of the value loss overflow.
    """
    return min(coef / ROUNDING, SQUARE_ROOT) if coef > 0 else SQUARE_ROOT


def is_empty(ended: Tensor, mask: Tensor) -> Tensor:
    """[B] True where EOS is the response's only token."""
    return ended & (mask.sum(1) == 1)


@dataclass(frozen=True, kw_only=True)
class Symptom:
    metric: str
    is_one: Callable[[Record], bool]  # of one iteration's record
    sentence: str  # what it means

    def seen(self, record: Record) -> bool:
        return self.metric in record and self.is_one(record)


LEFT_OUT = tuple(
    Symptom(
        metric=metric,
        is_one=lambda record, metric=metric: record[metric] > 0,  # type: ignore[misc]
        sentence=f"responses with a NaN or infinite number were left out of {where}",
    )
    for metric, where in ((NONFINITE, "training"), (f"eval/{NONFINITE}", "evaluations"))
)
SYMPTOMS = (
    Symptom(
        metric=EQUAL,
        is_one=lambda record: record[EQUAL] > 0,
        sentence="all rewards of a rollout were equal: they prefer no response, and whitened"
        " advantages are the value model's noise",
    ),
    Symptom(
        metric=HUGE,
        is_one=lambda record: record[HUGE] > 0,
        sentence="rewards were so large that float32 loses kl.coef * KL beside them, or overflows"
        " in their squares: scale the scores, or set scorer.reward_clip",
    ),
    Symptom(
        metric=EMPTY,
        is_one=lambda record: record[EMPTY] > MANY_EMPTY * record[RESPONSES],
        sentence=f"more than {MANY_EMPTY:.0%} of a rollout's responses were empty (EOS is their"
        " first token)",
    ),
    Symptom(
        metric=OFF,
        is_one=lambda record: record[OFF] > 0,
        sentence="tokens were drawn with other log-probabilities than training computes for them,"
        f" beyond rounding: their ratios and KL are off by up to {GAP}",
    ),
)


class FirstWarning:
    """Warns of a symptom the first time that a rollout has it; a run's summary has the totals."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    def __call__(self, counts: Record, where: str) -> None:
        for symptom in SYMPTOMS:
            if symptom.metric not in self.given and symptom.seen(counts):
                self.given.add(symptom.metric)
                log.warning("%s: %s (%s)", where, symptom.sentence, symptom.metric)


def totals(records: Sequence[Record]) -> list[str]:
    """A sentence for each symptom that a run had, with the number of its iterations."""
    counted = [
        (symptom, [symptom.seen(record) for record in records if symptom.metric in record])
        for symptom in (*LEFT_OUT, *SYMPTOMS)
    ]
    return [
        f"{symptom.sentence}, in {sum(seen)} of {len(seen)} iterations ({symptom.metric})"
        for symptom, seen in counted
        if any(seen)
    ]

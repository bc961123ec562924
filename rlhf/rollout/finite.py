"""Responses with a NaN or an infinite number: named with whose number it is, and left out of a
rollout where the config says so."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rlhf.functional.finite import nonfinite_rows
from rlhf.kl.penalty import KLPenalty
from rlhf.rollout.score import Responses
from rlhf.rundir.errors import NonFinite
from rlhf.rundir.words import plural
from rlhf.types import Experience, Rollout, ScoredRollout, TokenView

log = logging.getLogger(__name__)

OnNonfinite = Literal["stop", "drop"]
Sources = dict[str, Tensor]  # whose number -> [B], or [B, T] of which the response's tokens count
SHOWN = 3  # prompts in a message
LETTERS = 40  # of each


def reading_sources(
    rollout: Rollout, view: TokenView, judge_scores: Mapping[str, Tensor], score: Tensor
) -> Sources:
    """The numbers that a response got from models, judges and scorer, each before what is made of
    it."""
    exact = {} if view.exact_kl is None else {"exact KL of policy and reference": view.exact_kl}
    return {
        "log-probabilities of the sampling policy": rollout.logp,
        "log-probabilities of the policy": view.logp,
        "log-probabilities of the reference": view.ref_logp,
        "entropy of the policy": view.entropy,
        **exact,
        **judge_sources(judge_scores),
        "score of the scorer": score,
    }


def judge_sources(scores: Mapping[str, Tensor]) -> Sources:
    names = {"proxy": "the reward model", "gold": "the gold reward"}
    return {
        f"score of {names.get(name, f'the judge {name}')}": score for name, score in scores.items()
    }


def training_sources(scored: ScoredRollout, rewards: Tensor) -> Sources:
    """The same of a training rollout, with its values and what the KL makes of it: `rewards` are
    the token rewards."""
    values = {} if scored.values is None else {"values of the value model": scored.values}
    return {
        **reading_sources(scored.rollout, scored, scored.judge_scores, scored.raw_score),
        **values,
        "estimate of the KL": scored.kl,
        "clipped score": scored.score,
        "token rewards": rewards,
    }


def faults(sources: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
    """Source -> [B] the responses whose number is NaN or infinite, each under the first source
    that has it. mask [B, T]."""
    bad = torch.stack([nonfinite_rows(x, mask) for x in sources.values()])
    if not bool(bad.any()):
        return {}
    first = bad & (bad.long().cumsum(0) == 1)
    return {name: rows for name, rows in zip(sources, first, strict=True) if bool(rows.any())}


def describe(
    bad: Mapping[str, Tensor], sources: Mapping[str, Tensor], prompts: Sequence[str]
) -> str:
    """`score of the gold reward: nan in 1 of 64 responses (row 5, to 'a b')`."""
    return "; ".join(
        f"{name}: {_values(sources[name], rows)} in {int(rows.sum())} of"
        f" {plural(len(prompts), 'response')} ({_rows(rows, prompts)})"
        for name, rows in bad.items()
    )


def _values(x: Tensor, rows: Tensor) -> str:
    numbers = x[rows].flatten()
    return ", ".join(sorted({str(value) for value in numbers[~torch.isfinite(numbers)].tolist()}))


def _rows(rows: Tensor, prompts: Sequence[str]) -> str:
    every = rows.nonzero().flatten().tolist()
    first = ", ".join(f"row {row}, to {_short(prompts[row])}" for row in every[:SHOWN])
    return first + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")


def _short(text: str) -> str:
    return repr(text if len(text) <= LETTERS else text[:LETTERS] + "...")


def require_finite(sources: Sources, mask: Tensor, prompts: Sequence[str], where: str) -> None:
    """Raises NonFinite where a response has a number that is NaN or infinite. `where`: the stage
    and the iteration."""
    if bad := faults(sources, mask):
        raise NonFinite(f"{where}: {describe(bad, sources, prompts)}")


def check_coefficient(coef: float, where: str) -> None:
    """Raises NonFinite where a controller of one's own made the KL's coefficient NaN or infinite:
    asked when it was moved, so that no checkpoint holds it."""
    if not math.isfinite(coef):
        raise NonFinite(f"{where}: the KL coefficient of its controller is {coef}")


def check_experience(made: Experience, where: str) -> None:
    """Raises NonFinite where advantages or returns of finite rewards are NaN or infinite: their
    piece is at fault, and no response can be left out for it."""
    sources = {"advantages": made.advantages}
    if made.returns is not None:
        sources["returns"] = made.returns
    require_finite(sources, made.mask, made.rollout.prompt.texts, where)


@dataclass(kw_only=True)
class FiniteResponses:
    """Keeps the responses whose numbers are all finite (`drop`), or ends the run (`stop`).

    Raises:
        NonFinite: `stop`; or nothing finite is left; or more than `at_most` iterations in a row
            had such a response.
    """

    action: OnNonfinite
    at_most: int
    in_a_row: int = 0  # iterations up to the last one that left a response out
    warned: bool = False

    def of_training(self, scored: ScoredRollout, penalty: KLPenalty, where: str) -> ScoredRollout:
        """The rollout without its bad rows: all that follows, whitening and KL too, is that of a
        rollout which never had them."""
        rollout = scored.rollout
        check_coefficient(penalty.coef, where)
        rewards = penalty.token_rewards(scored.kl, scored.score, rollout.mask)
        sources = training_sources(scored, rewards)
        bad = faults(sources, rollout.mask)
        self.in_a_row = self.in_a_row + 1 if bad else 0
        if not bad:
            return scored
        sentence = f"{where}: {describe(bad, sources, rollout.prompt.texts)}"
        if self.action == "drop" and self.in_a_row > self.at_most:
            raise NonFinite(
                f"{sentence}; iteration {self.in_a_row} in a row, and ppo.max_nonfinite is"
                f" {self.at_most}"
            )
        return scored.rows(self._kept(bad, sentence))

    def of_evaluation(
        self, responses: Responses, view: TokenView, score: Tensor, where: str
    ) -> tuple[Responses, TokenView, Tensor]:
        """The same of an evaluation's responses; they do not count as iterations in a row."""
        rollout = responses.rollout
        sources = reading_sources(rollout, view, responses.scores, score)
        bad = faults(sources, rollout.mask)
        if not bad:
            return responses, view, score
        sentence = f"{where}, evaluation: {describe(bad, sources, responses.prompts)}"
        kept = self._kept(bad, sentence)
        return responses.rows(kept), view.rows(kept), score[kept.to(score.device)]

    def _kept(self, bad: Mapping[str, Tensor], sentence: str) -> Tensor:
        kept = (~torch.stack([*bad.values()]).any(0)).nonzero().flatten()
        if not len(kept):
            raise NonFinite(f"{sentence}. No response is left")
        if self.action == "stop":
            raise NonFinite(f"{sentence}. ppo.on_nonfinite=drop leaves such responses out")
        if not self.warned:
            log.warning("%s; left out (ppo.on_nonfinite=drop)", sentence)
        self.warned = True
        return kept

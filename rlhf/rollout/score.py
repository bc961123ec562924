"""What a response is worth: the scorers PPO can maximise, and the rules that act on a score
before the KL is added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from rlhf.data.records import Reward
from rlhf.models.scalar import ScalarModel
from rlhf.rollout.engines.torch import decode
from rlhf.types import Rollout


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Everyone who can score a response. PPO sees one of the first two; the `others` only watch."""

    tokenizer: Any
    reward_model: ScalarModel | None = None
    gold: Reward | None = None
    others: Mapping[str, Reward] = field(default_factory=dict)

    @torch.no_grad()
    def scores(self, rollout: Rollout) -> dict[str, Tensor]:
        """Every judge's score [B] on the rollout's device, by the metric's name: `proxy`, `gold`
        and the others'."""
        scores = {}
        if self.reward_model is not None:
            scores["proxy"] = self.reward_model.score(rollout.sequence, rollout.attention)
        readers = {
            name: judge
            for name, judge in {"gold": self.gold, **self.others}.items()
            if judge is not None
        }
        responses = decode(rollout, self.tokenizer) if readers else []
        for name, judge in readers.items():
            read = judge(rollout.prompt.texts, responses)
            scores[name] = torch.tensor(read, dtype=torch.float32, device=rollout.tokens.device)
        return scores


class Scorer(Protocol):
    """What PPO maximises, made of the judges' scores (or of the rollout itself)."""

    needs_reward_model: bool

    def __call__(self, rollout: Rollout, scores: Mapping[str, Tensor]) -> Tensor:
        """[B] scores."""
        ...


class Rules:
    """Arguments that act on a score before the KL is added."""

    def __init__(
        self,
        missing_eos: str = "none",
        missing_eos_value: float | None = None,
        reward_clip: float | None = None,
    ) -> None:
        self.missing_eos, self.missing_eos_value = missing_eos, missing_eos_value
        self.reward_clip = reward_clip


class RewardModelScorer(Rules):
    """The learned proxy: the scalar at the response's last token."""

    needs_reward_model = True

    def __call__(self, rollout: Rollout, scores: Mapping[str, Tensor]) -> Tensor:
        if "proxy" not in scores:
            raise ValueError("scorer=reward_model needs a reward model")
        return scores["proxy"]


class GoldScorer(Rules):
    """The data's own gold reward."""

    needs_reward_model = False

    def __call__(self, rollout: Rollout, scores: Mapping[str, Tensor]) -> Tensor:
        if "gold" not in scores:
            raise ValueError("scorer=gold needs data with a gold reward")
        return scores["gold"]


def missing_eos(score: Tensor, ended: Tensor, mode: str, value: float) -> Tensor:
    """[B]: a response that never ended keeps its score (none), has `value` for its score (set) or
    loses `value` (subtract).

    Source: lm-human-preferences and summarize_from_feedback set a fixed score (-1), TRL's
    `missing_eos_penalty` subtracts one.
    """
    if mode == "none":
        return score
    if mode == "set":
        return torch.where(ended, score, torch.full_like(score, value))
    if mode == "subtract":
        return torch.where(ended, score, score - value)
    raise ValueError(f"missing_eos={mode!r}: expected none, set or subtract")


def whole_score(
    scorer: Scorer, rollout: Rollout, judged: Mapping[str, Tensor], mode: str, value: float | None
) -> Tensor:
    """[B] what PPO maximises, before the clip and the KL: the scorer's word, and the rule for
    responses that never ended."""
    return missing_eos(scorer(rollout, judged), rollout.ended, mode, value or 0.0)


def clip_score(score: Tensor, limit: float | None) -> Tensor:
    """[B] within +-limit; None: as it is. The KL comes later and is never clipped by it."""
    return score if limit is None else score.clamp(-limit, limit)

"""What a response is worth: the scorers PPO can maximise, and the rules that act on a score before the KL is added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from rlhf.data.records import Reward
from rlhf.models.scalar import ScalarModel
from rlhf.rollout.generate import decode
from rlhf.types import Rollout


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Everyone who can score a response. PPO sees one of the first two; the `others` only watch."""

    tokenizer: Any
    reward_model: ScalarModel | None = None
    gold: Reward | None = None
    others: Mapping[str, Reward] = field(default_factory=dict)

    def all_scores(self, rollout: Rollout) -> dict[str, Tensor]:
        """Every judge's score [B], by the metric's name: proxy, gold and the others'."""
        scores = {}
        if self.reward_model is not None:
            scores["proxy"] = RewardModelScorer()(rollout, self)
        texts = {name: judge for name, judge in {"gold": self.gold, **self.others}.items() if judge is not None}
        if texts:
            responses = decode(rollout, self.tokenizer)
            for name, judge in texts.items():
                scores[name] = torch.tensor(judge(rollout.prompt.texts, responses), dtype=torch.float32)
        return scores


class Scorer(Protocol):
    needs_reward_model: bool

    def __call__(self, rollout: Rollout, judges: Judges) -> Tensor:
        """[B] scores on the rollout's device."""
        ...


class RewardModelScorer:
    """The learned proxy: the scalar at the response's last token."""

    needs_reward_model = True

    @torch.no_grad()
    def __call__(self, rollout: Rollout, judges: Judges) -> Tensor:
        if judges.reward_model is None:
            raise ValueError("scorer=reward_model needs a reward model")
        return judges.reward_model.score(rollout.sequence, rollout.attention)


class GoldScorer:
    """The data's own gold reward."""

    needs_reward_model = False

    def __call__(self, rollout: Rollout, judges: Judges) -> Tensor:
        if judges.gold is None:
            raise ValueError("scorer=gold needs data with a gold reward")
        scores = judges.gold(rollout.prompt.texts, decode(rollout, judges.tokenizer))
        return torch.tensor(scores, dtype=torch.float32, device=rollout.tokens.device)


def missing_eos(score: Tensor, ended: Tensor, mode: str, value: float) -> Tensor:
    """[B]: a response that never ended keeps its score (none), has `value` for its score (set) or loses `value` (subtract).

    Source: lm-human-preferences and summarize_from_feedback set a fixed score (-1), TRL's `missing_eos_penalty` subtracts one.
    """
    if mode == "none":
        return score
    if mode == "set":
        return torch.where(ended, score, torch.full_like(score, value))
    if mode == "subtract":
        return torch.where(ended, score, score - value)
    raise ValueError(f"missing_eos={mode!r}: expected none, set or subtract")


def clip_score(score: Tensor, limit: float | None) -> Tensor:
    """[B] within +-limit; None: as it is. The KL comes later and is never clipped by it."""
    return score if limit is None else score.clamp(-limit, limit)

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rlhf.config.pieces.base import ByTarget, Custom, Number, Piece, Positive


class Rules(Piece):
    """The rules that every scorer of ours has. What a scorer needs stands here, so that it can be
    asked before torch is loaded; a user's own class has `needs_reward_model` and `needs_gold`."""

    needs_reward_model: ClassVar[bool] = False
    needs_gold: ClassVar[bool] = False
    missing_eos: Literal["none", "set", "subtract"]
    missing_eos_value: Annotated[Number, Field(ge=-(10**6), le=10**6)] | None
    reward_clip: Positive | None


class RewardModelScorer(Rules, name="reward_model", at="rlhf.rollout.score.RewardModelScorer"):
    needs_reward_model = True


class GoldScorer(Rules, name="gold", at="rlhf.rollout.score.GoldScorer"):
    needs_gold = True


Scorer = Annotated[RewardModelScorer | GoldScorer | Custom, ByTarget()]

"""The pieces of conf/algorithm and conf/advantage."""

from __future__ import annotations

from typing import Annotated, ClassVar

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Share


class PPO(
    Piece, name="ppo", at="rlhf.modules.algorithms.ppo.PPOModule", was="rlhf.modules.ppo.PPOModule"
):
    """A user's own algorithm says these too, as attributes of its class: `needs_values`, True if it
    trains a value model for an advantage that needs one, and `learns_from`, the parts of the data
    that it learns from beside prompts (`demonstrations`, `preferences`)."""

    needs_values: ClassVar[bool] = True
    learns_from: ClassVar[tuple[str, ...]] = ()


class GAE(Piece, name="gae", at="rlhf.modules.advantage.GAE"):
    needs_values: ClassVar[bool] = True
    gamma: Share
    lam: Share
    whiten: bool
    whiten_rewards: bool


class PaddedGAE(GAE, name="alpaca_farm", at="rlhf.modules.advantage.PaddedGAE"):
    pass


Algorithm = Annotated[PPO | Custom, ByTarget()]
Advantage = Annotated[GAE | PaddedGAE | Custom, ByTarget()]

"""The pieces of conf/algorithm and conf/advantage."""

from __future__ import annotations

from typing import Annotated, ClassVar

from rlhf.config.pieces.base import ByTarget, Count, Custom, Piece, Share


class PPO(
    Piece, name="ppo", at="rlhf.modules.algorithms.ppo.PPOModule", was="rlhf.modules.ppo.PPOModule"
):
    """A user's own algorithm says these too, as attributes of its class: `needs_values`, True if it
    trains a value model for an advantage that needs one; `unused`, which of `kl`, `advantage` and
    `trust_region` its loss does not read; `least_responses`, the fewest to a prompt."""

    needs_values: ClassVar[bool] = True
    unused: ClassVar[frozenset[str]] = frozenset()
    least_responses: ClassVar[int] = 1


class BestOfN(Piece, name="best_of_n", at="rlhf.modules.algorithms.best_of_n.BestOfN"):
    needs_values: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset({"kl", "advantage", "trust_region"})
    least_responses: ClassVar[int] = 2


class ExpertIteration(
    BestOfN, name="expert_iteration", at="rlhf.modules.algorithms.best_of_n.ExpertIteration"
):
    round_iterations: Count


class GAE(Piece, name="gae", at="rlhf.modules.advantage.GAE"):
    needs_values: ClassVar[bool] = True
    gamma: Share
    lam: Share
    whiten: bool
    whiten_rewards: bool


class PaddedGAE(GAE, name="alpaca_farm", at="rlhf.modules.advantage.PaddedGAE"):
    pass


class NoAdvantage(Piece, name="none", at="rlhf.modules.advantage.NoAdvantage"):
    needs_values: ClassVar[bool] = False


Algorithm = Annotated[PPO | BestOfN | ExpertIteration | Custom, ByTarget()]
Advantage = Annotated[GAE | PaddedGAE | NoAdvantage | Custom, ByTarget()]

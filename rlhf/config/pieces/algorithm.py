"""The pieces of conf/algorithm and conf/advantage."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from rlhf.config.pieces.base import ByTarget, Custom, Piece, Positive, Share


class PPO(
    Piece, name="ppo", at="rlhf.modules.algorithms.ppo.PPOModule", was="rlhf.modules.ppo.PPOModule"
):
    """A user's own algorithm says `needs_values` too: True if it trains a value model for an
    advantage that needs one."""

    needs_values: ClassVar[bool] = True


class PolicyGradient(Piece):
    needs_values: ClassVar[bool] = False
    ratio: Literal["none", "clipped"]
    clip_high: Positive | None

    @property
    def one_pass(self) -> bool:
        """True: its loss holds for responses of the policy itself, not of an older one."""
        return self.ratio == "none"


HERE = "rlhf.modules.algorithms.policy_gradient"


class Reinforce(PolicyGradient, name="reinforce", at=f"{HERE}.Reinforce"):
    pass


class RLOO(PolicyGradient, name="rloo", at=f"{HERE}.RLOO"):
    pass


class GRPO(PolicyGradient, name="grpo", at=f"{HERE}.GRPO"):
    pass


class DrGRPO(PolicyGradient, name="dr_grpo", at=f"{HERE}.DrGRPO"):
    pass


class DAPO(PolicyGradient, name="dapo", at=f"{HERE}.DAPO"):
    pass


# --- advantages. A user's own one may say `needs_groups` too: True if it needs two responses to a
# prompt or more


class GAE(Piece, name="gae", at="rlhf.modules.advantage.GAE"):
    needs_values: ClassVar[bool] = True
    gamma: Share
    lam: Share
    whiten: bool
    whiten_rewards: bool


class PaddedGAE(GAE, name="alpaca_farm", at="rlhf.modules.advantage.PaddedGAE"):
    pass


class Return(Piece, name="reinforce", at="rlhf.modules.advantage.Return"):
    needs_values: ClassVar[bool] = False
    credit: Literal["sequence", "reward_to_go"]
    baseline: Literal["none", "mean"]


class LeaveOneOut(Piece, name="rloo", at="rlhf.modules.advantage.LeaveOneOut"):
    needs_values: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = True


class GroupRelative(Piece, name="grpo", at="rlhf.modules.advantage.GroupRelative"):
    needs_values: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = True
    std: bool
    scale_kl: bool


Algorithm = Annotated[PPO | Reinforce | RLOO | GRPO | DrGRPO | DAPO | Custom, ByTarget()]
Advantage = Annotated[GAE | PaddedGAE | Return | LeaveOneOut | GroupRelative | Custom, ByTarget()]

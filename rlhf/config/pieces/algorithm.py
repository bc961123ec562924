"""The pieces of conf/algorithm and conf/advantage."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from rlhf.config.pieces.base import (
    ByTarget,
    Count,
    Custom,
    Piece,
    Positive,
    Share,
    Weight,
    members_of,
)


class PPO(
    Piece, name="ppo", at="rlhf.modules.algorithms.ppo.PPOModule", was="rlhf.modules.ppo.PPOModule"
):
    """A user's own algorithm says these too, as attributes of its class: `needs_values`, True if it
    trains a value model for an advantage that needs one; `learns_from`, the parts of the data that
    it learns from beside prompts (`demonstrations`, `preferences`); `unused`, the sections and keys
    that its training does not read (`rlhf.config.checks.unused`); `least_responses`, the fewest to
    a prompt; `needs_coef`, True if it learns nothing at kl.coef=0; `draws`, False if it trains on
    no responses; `keeps_best`, True if it learns from one response to each prompt alone;
    `descends`, what its loss descends of the KL, where that does not follow from the pieces of
    conf/kl; `reads_reference`, True if an update always needs the reference's logits;
    `draws_older`, True if an older policy, whose weights are kept, may draw; `not_in_parts`, why no
    rank can train a part of its policy alone (trainer.strategy=fsdp)."""

    needs_values: ClassVar[bool] = True
    learns_from: ClassVar[tuple[str, ...]] = ()
    unused: ClassVar[frozenset[str]] = frozenset()
    least_responses: ClassVar[int] = 1
    needs_coef: ClassVar[bool] = False
    draws: ClassVar[bool] = True
    keeps_best: ClassVar[bool] = False
    descends: ClassVar[str] = ""
    reads_reference: ClassVar[bool] = False
    draws_older: ClassVar[bool] = False
    not_in_parts: ClassVar[str] = ""


class PPOPtx(PPO, name="ppo_ptx", at="rlhf.modules.algorithms.ppo_ptx.PPOPtx"):
    learns_from: ClassVar[tuple[str, ...]] = ("demonstrations",)
    ptx_coef: Weight


class BestOfN(Piece, name="best_of_n", at="rlhf.modules.algorithms.best_of_n.BestOfN"):
    needs_values: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset(
        {"kl", "advantage", "trust_region", "ppo.policy_clip"}
    )
    least_responses: ClassVar[int] = 2
    keeps_best: ClassVar[bool] = True
    draws_older: ClassVar[bool] = True


class ExpertIteration(
    BestOfN, name="expert_iteration", at="rlhf.modules.algorithms.best_of_n.ExpertIteration"
):
    round_iterations: Count


class DPO(Piece, name="dpo", at="rlhf.modules.algorithms.dpo.DPOModule"):
    needs_values: ClassVar[bool] = False
    needs_coef: ClassVar[bool] = True
    draws: ClassVar[bool] = False
    learns_from: ClassVar[tuple[str, ...]] = ("preferences",)
    unused: ClassVar[frozenset[str]] = frozenset(
        {"advantage", "trust_region", "kl.controller", "kl.reference", "kl.estimator"}
        | {"kl.placement", "ppo.responses_per_prompt", "ppo.entropy_coef", "ppo.policy_clip"}
        | {"ppo.aggregation", "ppo.old_logp"}
    )
    descends: ClassVar[str] = "no penalty: kl.coef is the beta of DPO's implied reward"
    loss: Literal["sigmoid", "ipo", "hinge"]
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)]


class Quark(Piece, name="quark", at="rlhf.modules.algorithms.quark.Quark"):
    needs_values: ClassVar[bool] = False
    unused: ClassVar[frozenset[str]] = frozenset(
        {"advantage", "trust_region", "kl.estimator", "kl.placement", "kl.path"}
        | {"ppo.policy_clip"}
    )
    descends: ClassVar[str] = "the KL of each token, without the KL that it causes later"
    reads_reference: ClassVar[bool] = True
    quantiles: Annotated[int, Field(ge=2, le=1000)]
    learns: Literal["all", "best"]
    pool_iterations: Count | None

    @property
    def not_in_parts(self) -> str:
        if self.learns == "best":
            return ""
        return (
            "the embeddings of algorithm=quark's control tokens are in no part; expected"
            " trainer.strategy=ddp, or algorithm.learns=best, which has none"
        )


class PolicyGradient(Piece):
    needs_values: ClassVar[bool] = False
    ratio: Literal["none", "clipped"]
    clip_high: Positive | None

    @property
    def one_pass(self) -> bool:
        """True: its loss holds for responses of the policy itself, not of an older one."""
        return self.ratio == "none"

    @property
    def unused(self) -> frozenset[str]:
        return frozenset({"ppo.policy_clip"} if self.one_pass else ())


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


class NoAdvantage(Piece, name="none", at="rlhf.modules.advantage.NoAdvantage"):
    needs_values: ClassVar[bool] = False


_Any = (
    PPO
    | PPOPtx
    | Reinforce
    | RLOO
    | GRPO
    | DrGRPO
    | DAPO
    | BestOfN
    | ExpertIteration
    | DPO
    | Quark
    | Custom
)
ALGORITHMS = members_of(_Any)  # ours, by their addresses
Algorithm = Annotated[_Any, ByTarget()]
Advantage = Annotated[
    GAE | PaddedGAE | Return | LeaveOneOut | GroupRelative | NoAdvantage | Custom, ByTarget()
]

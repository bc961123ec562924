"""Advantage estimates, by the names of conf/advantage, and the experience made with one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from rlhf.functional.advantages import gae, group_relative, leave_one_out, reward_to_go
from rlhf.functional.losses import explained_variance
from rlhf.functional.masking import masked_fill_zero, masked_std, masked_sum, masked_whiten
from rlhf.functional.standard_errors import groups_of
from rlhf.kl.penalty import KLPenalty
from rlhf.types import Experience, ScoredRollout


@dataclass(frozen=True, kw_only=True)
class Advantages:
    advantages: Tensor  # [B, T]
    returns: Tensor | None = None  # [B, T] that a value model learns: of a piece that needs values
    # one unit of reward in units of the advantages, where these or the rewards were divided
    reward_unit: float = 1.0


class Advantage(Protocol):
    """A piece of conf/advantage: it turns token rewards into advantages.

    One that is a function of each response by itself says so with `mixes_responses = False`: then
    `rlhf.modules.exact` can give the expected gradient, as it can for one that mixes those to one
    prompt alone (`needs_groups = True`: it needs two responses to a prompt or more).
    """

    needs_values: ClassVar[bool]  # True: a value model is trained for it

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        """Rewards, values (where it needs them), mask [B, T]; groups [B]: equal prompts, equal
        number."""


@dataclass(frozen=True, kw_only=True)
class GAE:
    """Generalised advantage estimation (arXiv 1506.02438). Returns are advantages + values before
    any whitening of the advantages.

    A whitened response's advantages depend on the others of its rollout: `mixes_responses`.
    """

    needs_values: ClassVar[bool] = True
    gamma: float
    lam: float
    whiten: bool  # advantages: mean 0, std 1 over the response tokens of the rollout
    # token rewards: divided by their std, mean kept (which moves each token by mean * (1 - 1/std))
    whiten_rewards: bool

    @property
    def mixes_responses(self) -> bool:
        return self.whiten or self.whiten_rewards

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        assert values is not None
        unit = 1.0
        if self.whiten_rewards:
            unit /= float(masked_std(rewards, mask))
            rewards = masked_whiten(rewards, mask, center=False)
        advantages, returns = gae(rewards, values, mask, self.gamma, self.lam)
        if self.whiten:
            unit /= float(masked_std(advantages, mask))
            advantages = masked_whiten(advantages, mask)
        return Advantages(advantages=advantages, returns=returns, reward_unit=unit)


@dataclass(frozen=True, kw_only=True)
class PaddedGAE(GAE):
    """AlpacaFarm's GAE (`rl/ppo_trainer.py::_estimate_advantage`): sums, means and stds run over
    all of [B, T], the padding after a response included, whose own rewards and values are 0.

    Whitened rewards then give every pad the reward mean * (1 - 1/std), which flows back into the
    response, and advantages are centred on a mean that short responses move: signs can flip.
    """

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        assert values is not None
        padded = super().__call__(
            masked_fill_zero(rewards, mask),
            masked_fill_zero(values, mask),
            torch.ones_like(mask),
            groups,
        )
        assert padded.returns is not None
        return replace(
            padded,
            advantages=masked_fill_zero(padded.advantages, mask),
            returns=masked_fill_zero(padded.returns, mask),
        )


# --- of whole responses, without values. A response's return is R = sum_t r_t, the KL in it where
# it is placed in the reward. Equal prompts that a rollout happens to draw twice are one group:
# their responses are independent draws from one distribution, so that all of them are good for
# each other's baseline.


@dataclass(frozen=True, kw_only=True)
class Return:
    """REINFORCE's (Williams 1992): R, or the reward to go sum_{s >= t} r_s, less a baseline.

    The rollout's mean of R holds a share 1/B of each response's own: the expected gradient is (1 -
    1/B) times that without a baseline.
    """

    needs_values: ClassVar[bool] = False
    credit: Literal["sequence", "reward_to_go"]
    baseline: Literal["none", "mean"]

    @property
    def mixes_responses(self) -> bool:
        return self.baseline == "mean"

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        to_go = reward_to_go(rewards, mask)
        credit = to_go if self.credit == "reward_to_go" else to_go[:, :1].expand_as(to_go)
        if self.baseline == "mean":
            credit = credit - to_go[:, 0].double().mean().to(to_go.dtype)
        return Advantages(advantages=masked_fill_zero(credit, mask))


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """RLOO's (arXiv 2402.14740): R less the mean R of the other responses to the prompt. Unbiased.

    A response whose others were left out (ppo.on_nonfinite=drop) has advantage 0.
    """

    needs_values: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = True
    mixes_responses: ClassVar[bool] = True

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        advantages = leave_one_out(masked_sum(rewards, mask, dim=1), groups)
        return Advantages(advantages=on_tokens(advantages, mask))


@dataclass(frozen=True, kw_only=True)
class GroupRelative:
    """GRPO's (arXiv 2402.03300): R less the mean R of the responses to the prompt, its own among
    them, over their std; without the std Dr. GRPO's (arXiv 2503.20783), which is (n - 1) / n times
    RLOO's in a group of n.

    Divided by its own std each prompt has a unit of reward of its own, and no one number brings a
    KL coefficient in the loss to all of them. `scale_kl` divides it by the pooled std within
    groups: then it means about what it means elsewhere (docs/decisions/0003), too little for
    prompts of a small std and too much for those of a large one. As published it is not divided:
    it is relative to rewards of std 1.
    """

    needs_values: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = True
    mixes_responses: ClassVar[bool] = True
    std: bool
    scale_kl: bool

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        returns = masked_sum(rewards, mask, dim=1)
        advantages, pooled = group_relative(returns, groups, self.std)
        unit = 1 / float(pooled) if self.std and self.scale_kl else 1.0
        return Advantages(advantages=on_tokens(advantages, mask), reward_unit=unit)


def on_tokens(x: Tensor, mask: Tensor) -> Tensor:
    """One number a response on each of its tokens, 0 where masked: [B], [B, T] -> [B, T]"""
    return masked_fill_zero(x.unsqueeze(-1).expand(mask.shape), mask)


class NoAdvantage:
    """0 everywhere: of an algorithm whose loss reads no advantages."""

    needs_values: ClassVar[bool] = False
    mixes_responses = True  # what such a loss does with responses, this does not say

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        return Advantages(advantages=torch.zeros_like(rewards))


# --- the experience


def to_experience(
    scored: ScoredRollout, penalty: KLPenalty, advantage: Advantage
) -> tuple[Experience, Tensor]:
    """Adds the KL to the token rewards and makes advantages of them. Gives the experience and the
    shaped rewards [B, T]."""
    rollout, mask = scored.rollout, scored.rollout.mask
    rewards = penalty.token_rewards(scored.kl, scored.score, mask)
    estimate = advantage(rewards, scored.values, mask, groups_of(rollout.prompt.texts))
    experience = Experience(
        rollout=rollout,
        logp=scored.logp,
        ref_logp=scored.ref_logp,
        score=scored.score,
        values=scored.values,
        **vars(estimate),
    )
    return experience, rewards


def value_metrics(experience: Experience) -> dict[str, float]:
    """`ppo/explained_variance` of the old values over all tokens of the rollout: how well the value
    model knew it before its updates. Nothing where there are no values."""
    values, returns = experience.values, experience.returns
    if values is None or returns is None:
        return {}
    return {"ppo/explained_variance": float(explained_variance(values, returns, experience.mask))}

"""Advantage estimates, by the names of conf/advantage, and the experience made with one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from rlhf.functional.advantages import gae
from rlhf.functional.losses import explained_variance
from rlhf.functional.masking import masked_fill_zero, masked_std, masked_whiten
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
    `rlhf.modules.exact` can give the expected gradient.
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


class NoAdvantage:
    """0 everywhere: of an algorithm whose loss reads no advantages."""

    needs_values: ClassVar[bool] = False
    mixes_responses = True  # what such a loss does with responses, this does not say

    def __call__(
        self, rewards: Tensor, values: Tensor | None, mask: Tensor, groups: Tensor
    ) -> Advantages:
        return Advantages(advantages=torch.zeros_like(rewards))


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

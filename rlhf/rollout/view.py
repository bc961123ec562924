"""From prompts to experience: generate, score, add the KL, estimate advantages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.functional.advantages import gae
from rlhf.functional.kl import exact
from rlhf.functional.logprobs import entropy, token_logp
from rlhf.functional.masking import masked_std, masked_whiten
from rlhf.kl.penalty import KLPenalty
from rlhf.models.policy import response_logits
from rlhf.models.scalar import ScalarModel
from rlhf.types import Experience, Rollout, ScoredRollout


@dataclass(frozen=True, kw_only=True)
class AdvantageSettings:
    gamma: float
    lam: float
    whiten: bool  # advantages: mean 0, std 1 over the response tokens of the rollout
    # token rewards: divided by their std, mean kept (which moves each token by mean * (1 - 1/std))
    whiten_rewards: bool


@dataclass(frozen=True, kw_only=True)
class TokenView:
    """What policy and reference say about a rollout's tokens; all [B, T], 0 where masked."""

    logp: Tensor
    ref_logp: Tensor
    exact_kl: Tensor
    entropy: Tensor


@torch.no_grad()
def view_tokens(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    rollout: Rollout,
    *,
    temperature: float,
    rows: int,
) -> TokenView:
    """Both models' log-probabilities at the sampling temperature, `rows` responses a forward
    pass."""
    parts = []
    for part in split_rows(rollout, rows):
        logits, ref_logits = (
            response_logits(m, part.sequence, part.attention, part.tokens.shape[1]) / temperature
            for m in (policy, reference)
        )
        parts.append(
            (
                token_logp(logits, part.tokens),
                token_logp(ref_logits, part.tokens),
                exact(logits, ref_logits),
                entropy(logits),
            )
        )
    logp, ref_logp, exact_kl, spread = (
        torch.cat(column).masked_fill(~rollout.mask, 0.0) for column in zip(*parts, strict=True)
    )
    return TokenView(logp=logp, ref_logp=ref_logp, exact_kl=exact_kl, entropy=spread)


@torch.no_grad()
def response_logp(
    model: PreTrainedModel, rollout: Rollout, *, temperature: float, rows: int
) -> Tensor:
    """[B, T] log-probabilities of the response under `model`, 0 where masked."""
    parts = [
        token_logp(
            response_logits(model, part.sequence, part.attention, part.tokens.shape[1])
            / temperature,
            part.tokens,
        )
        for part in split_rows(rollout, rows)
    ]
    return torch.cat(parts).masked_fill(~rollout.mask, 0.0)


@torch.no_grad()
def predict_values(model: ScalarModel, rollout: Rollout, *, rows: int) -> Tensor:
    """[B, T] values of the state before each token, 0 where masked."""
    parts = [
        model.values(part.sequence, part.attention, part.tokens.shape[1])
        for part in split_rows(rollout, rows)
    ]
    return torch.cat(parts).masked_fill(~rollout.mask, 0.0)


def split_rows(rollout: Rollout, rows: int) -> Iterator[Rollout]:
    for index in torch.arange(len(rollout.tokens)).split(rows):
        yield rollout.rows(index)


def to_experience(
    scored: ScoredRollout, penalty: KLPenalty, settings: AdvantageSettings
) -> tuple[Experience, Tensor]:
    """The KL enters here. Gives the experience and the shaped token rewards [B, T].

    Returns are advantages + values before any whitening of the advantages.
    """
    mask = scored.rollout.mask
    rewards = used = penalty.token_rewards(scored.kl, scored.score, mask)
    unit = 1.0
    if settings.whiten_rewards:
        unit /= float(masked_std(rewards, mask))
        used = masked_whiten(rewards, mask, center=False)
    advantages, returns = gae(used, scored.values, mask, settings.gamma, settings.lam)
    if settings.whiten:
        unit /= float(masked_std(advantages, mask))
        advantages = masked_whiten(advantages, mask)
    experience = Experience(
        rollout=scored.rollout,
        logp=scored.logp,
        ref_logp=scored.ref_logp,
        values=scored.values,
        advantages=advantages,
        returns=returns,
        reward_unit=unit,
    )
    return experience, rewards

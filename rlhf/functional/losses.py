"""Losses of SFT, reward model, PPO and DPO, and the two numbers that say how PPO's are doing.

Only the first argument (logp, values, rewards, logits) gets a gradient; old values, advantages and
returns are detached here. `reduce` turns [B, T] token losses and their mask into the scalar; by
default the mean over the tokens that count.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.functional.kl import LOG_RATIO_CLAMP
from rlhf.functional.logprobs import token_logp
from rlhf.functional.masking import Reduce, masked_fill_zero, masked_mean

# how far the ratio may leave 1: on both sides, or (below, above); None: as far as it likes
Clip = float | tuple[float, float] | None


def clip_range(clip: float | tuple[float, float]) -> tuple[float, float]:
    """(1 - below, 1 + above), the ratios at which the policy loss is cut off. One number is both;
    two are DAPO's clip-higher (arXiv 2503.14476)."""
    below, above = clip if isinstance(clip, tuple) else (clip, clip)
    return 1 - below, 1 + above


def probability_ratio(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """rho = exp(logp - old_logp), the log-ratio clamped to +-20; 1 where masked. [B, T] -> [B,
    T]"""
    return (
        masked_fill_zero(logp - old_logp.detach(), mask)
        .clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
        .exp()
    )


def clipped_policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: Clip,
    reduce: Reduce = masked_mean,
) -> Tensor:
    """max(-A rho, -A clip(rho, 1 - clip, 1 + clip)), PPO's Eq. 7 (arXiv 1707.06347), with a pair
    (below, above) clip(rho, 1 - below, 1 + above); clip=None: -A rho. [B, T] -> scalar"""
    ratio = probability_ratio(logp, old_logp, mask)
    advantages = advantages.detach()
    loss = -advantages * ratio
    if clip is not None:
        loss = torch.maximum(loss, -advantages * ratio.clamp(*clip_range(clip)))
    return reduce(loss, mask)


def policy_gradient_loss(
    logp: Tensor, advantages: Tensor, mask: Tensor, reduce: Reduce = masked_mean
) -> Tensor:
    """-A log pi, whose gradient is REINFORCE's (Williams 1992): for tokens that the policy itself
    drew. [B, T] -> scalar"""
    return reduce(-advantages.detach() * masked_fill_zero(logp, mask), mask)


def clipped_value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    clip: float | None,
    reduce: Reduce = masked_mean,
) -> Tensor:
    """0.5 max((V - R)^2, (clip(V, V_old - clip, V_old + clip) - R)^2); clip=None: 0.5 (V - R)^2.
    [B, T] -> scalar"""
    old_values, returns = old_values.detach(), returns.detach()
    error = masked_fill_zero(values - returns, mask).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, masked_fill_zero(near - returns, mask).square())
    return reduce(0.5 * error, mask)


def bradley_terry(
    chosen: Tensor, rejected: Tensor, margin: Tensor | None = None, centering: float = 0.0
) -> Tensor:
    """mean(-log sigmoid(chosen - rejected - margin)) + centering * mean((chosen + rejected)^2). [B]
    -> scalar

    Margin: Llama 2 (arXiv 2307.09288) Eq. 2. Centring (arXiv 2312.09244) holds the level, which the
    first term leaves free.
    """
    gap = chosen - rejected
    if margin is not None:
        gap = gap - margin
    loss = -F.logsigmoid(gap).mean()
    return loss + centering * (chosen + rejected).square().mean() if centering else loss


PreferenceLoss = Literal["sigmoid", "ipo", "hinge"]


def preference_loss(
    gap: Tensor, beta: float, kind: PreferenceLoss = "sigmoid", smoothing: float = 0.0
) -> Tensor:
    """The loss of each pair, whose `gap` is h = (log pi - log ref)(chosen) - (log pi - log
    ref)(rejected), in nats of whole responses: [B] -> [B].

        sigmoid  -log sigmoid(beta h)     DPO (arXiv 2305.18290, Eq. 7)
        ipo      (h - 1 / (2 beta))^2     IPO (arXiv 2310.12036, Eq. 17)
        hinge    max(0, 1 - beta h)       SLiC's (arXiv 2305.10425) on DPO's implied reward

    `smoothing` e, the share of labels that are wrong: (1 - e) loss(h) + e loss(-h) (cDPO:
    https://ericmitchell.ai/cdpo.pdf, Eq. 3).
    """

    def loss(h: Tensor) -> Tensor:
        if kind == "ipo":
            return (h - 1 / (2 * beta)).square()
        return F.relu(1 - beta * h) if kind == "hinge" else -F.logsigmoid(beta * h)

    return (1 - smoothing) * loss(gap) + smoothing * loss(-gap) if smoothing else loss(gap)


def token_nll(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean of -log p(label) over the mask: [B, T, V], [B, T] -> scalar.

    logits[:, t] predict labels[:, t]: no shift here. Masked labels may be anything, -100 too.
    """
    return masked_mean(-token_logp(logits, labels.masked_fill(~mask, 0)), mask)


@torch.no_grad()
def clipped_tokens(
    logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: Clip
) -> Tensor:
    """True at the counted tokens whose policy gradient the clip sets to 0: rho > 1 + clip with A >
    0, rho < 1 - clip with A < 0 (`clip_range`). [B, T] -> [B, T] bool; their share is PPO's clip
    fraction."""
    if clip is None:
        return torch.zeros_like(mask)
    ratio, (least, most) = probability_ratio(logp, old_logp, mask), clip_range(clip)
    clipped = ((ratio > most) & (advantages > 0)) | ((ratio < least) & (advantages < 0))
    return clipped & mask


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - var(R - V) / var(R) over the mask -> scalar: 1 perfect, 0 no better than a constant;
    NaN where the returns do not vary. The scope is what is passed in: it is no mean of batches."""

    def variance(x: Tensor) -> Tensor:
        x = x.double()
        return masked_mean((x - masked_mean(x, mask)).square(), mask)

    total = variance(returns)
    return torch.where(total > 0, 1 - variance(returns - values) / total, torch.nan)

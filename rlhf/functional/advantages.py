"""Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438)."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.masking import masked_fill_zero


@torch.no_grad()
def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Advantages and returns of each token.

        delta_t = r_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lam A_{t+1};  R_t = A_t + V_t

    V_t belongs to the state before token t. After a row's last valid token V and A are 0, whatever
    the values hold there. rewards, values, mask [B, T], the mask True on a prefix of each row ->
    (advantages, returns) [B, T], 0 where masked, no gradient. The returns are those of the raw
    advantages: whiten afterwards.
    """
    if not rewards.shape == values.shape == mask.shape:
        raise ValueError(
            f"shapes differ: rewards {tuple(rewards.shape)}, values {tuple(values.shape)}, mask"
            f" {tuple(mask.shape)}"
        )
    rewards, values = masked_fill_zero(rewards, mask), masked_fill_zero(values, mask)
    steps = values.shape[-1]
    advantages = torch.zeros_like(values)
    next_value = next_advantage = values.new_zeros(values.shape[:-1])
    for t in reversed(range(steps)):
        delta = rewards[..., t] + gamma * next_value - values[..., t]
        advantages[..., t] = delta + gamma * lam * next_advantage
        next_value = values[..., t]
        next_advantage = advantages[..., t] = masked_fill_zero(advantages[..., t], mask[..., t])
    return advantages, advantages + values

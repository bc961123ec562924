"""Advantages of token rewards: generalised advantage estimation (Schulman et al. 2015, arXiv
1506.02438), and those that compare whole responses and need no values."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.masking import STD_FLOOR, STD_FLOOR_RELATIVE, masked_fill_zero
from rlhf.functional.standard_errors import by_group


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


@torch.no_grad()
def reward_to_go(rewards: Tensor, mask: Tensor) -> Tensor:
    """G_t = sum_{s >= t} r_s: rewards, mask [B, T] -> [B, T], 0 where masked."""
    kept = masked_fill_zero(rewards, mask)
    return masked_fill_zero(kept.flip(-1).cumsum(-1).flip(-1), mask)


@torch.no_grad()
def leave_one_out(returns: Tensor, groups: Tensor) -> Tensor:
    """R_i - mean_{j != i} R_j over the other members of i's group (RLOO: arXiv 2402.14740).

    The others are independent of response i, so their mean is a baseline: unbiased. In a group of n
    it is n / (n - 1) (R_i - mean R). returns [B], groups [B] (equal prompts, equal number) -> [B];
    0 for a response without others.
    """
    centred, sizes, _ = _centred(returns, groups)
    return (centred * sizes / (sizes - 1).clamp(min=1)).to(returns.dtype)


@torch.no_grad()
def group_relative(returns: Tensor, groups: Tensor, std: bool) -> tuple[Tensor, Tensor]:
    """(R_i - mean R) / std R over i's group (GRPO: Shao et al. 2024, arXiv 2402.03300), or R_i -
    mean R without the std (Dr. GRPO: Liu et al. 2025, arXiv 2503.20783); and the pooled std within
    groups.

    returns [B], groups [B] -> [B], scalar. Stds divide by n - 1, as TRL's and verl's do: the paper
    does not say. A group of equal returns gives 0, and so does a response without others: the floor
    of `masked_std` holds.
    """
    centred, sizes, groups = _centred(returns, groups)
    squares = by_group(centred.square(), groups, int(groups.max()) + 1 if len(groups) else 0)
    floor = (STD_FLOOR_RELATIVE * returns.double().abs().amax()).clamp(min=STD_FLOOR)
    free = max(len(returns) - len(squares), 1)
    pooled = torch.maximum((squares.sum() / free).sqrt(), floor)
    if not std:
        return centred.to(returns.dtype), pooled
    deviations = (squares[groups] / (sizes - 1).clamp(min=1)).sqrt()
    return (centred / torch.maximum(deviations, floor)).to(returns.dtype), pooled


def _centred(returns: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """R_i - the mean of i's group and the group's size, float64 [B] each; groups on R's device."""
    groups, wide = groups.to(returns.device), returns.double()
    if not len(groups):
        return wide, wide, groups
    count = int(groups.max()) + 1
    sizes = by_group(torch.ones_like(wide), groups, count)
    means = by_group(wide, groups, count) / sizes.clamp(min=1)
    return wide - means[groups], sizes[groups], groups

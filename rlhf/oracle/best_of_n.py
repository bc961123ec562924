"""Best of n as a distribution: n responses of the reference, the one with the highest reward
kept, of equal ones the first drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bon_kl(n: int) -> float:
    """log n - (n - 1) / n: KL of best-of-n to its base; exact without ties of reward or repeats,
    else an upper bound (arXiv 2401.01879)."""
    _check(n)
    return math.log(n) - (n - 1) / n


def best_of_n(ref_logp: Tensor, reward: Tensor, n: int) -> Tensor:
    """log probability of each response to be the one kept: [..., N] -> [..., N].

    With F the reference's mass of lower rewards and G that of the same reward, the kept one has
    this reward with probability (F + G)^n - F^n, and among equals it is distributed as the
    reference: p(y) = ref(y) / G * ((F + G)^n - F^n).
    """
    _check(n)
    levels, order = reward.double().sort(dim=-1)
    mass = ref_logp.double().exp().gather(-1, order).cumsum(dim=-1)
    mass = torch.cat([torch.zeros_like(mass[..., :1]), mass / mass[..., -1:]], dim=-1)
    at = reward.double().contiguous()
    lower = mass.gather(-1, torch.searchsorted(levels, at))
    at_most = mass.gather(-1, torch.searchsorted(levels, at, right=True))
    same = at_most - lower
    # a^n - b^n = a^n (1 - (b/a)^n), by log1p so that small masses keep their digits
    ratio = torch.where(at_most > 0, lower / at_most, 0.0)
    kept = n * at_most.log() + torch.log1p(-(ratio**n))
    return torch.where(same > 0, ref_logp.double() - same.log() + kept, -torch.inf)


def _check(n: int) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")

"""Optima of objectives that are near relatives of E[r] - beta KL(pi || ref): the forward KL, and an
anchor that follows the policy. The last dimension runs over all responses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rlhf.oracle.exact import exact_sequence_kl, expected

STEPS = 200  # bisections: float64 has 52 bits


def forward_optimal_policy(ref_logp: Tensor, reward: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """pi(y) = beta ref(y) / (L - r(y)), which maximises E_pi[r] - beta KL(ref || pi): [..., N] ->
    (log pi [..., N], L [...]). float64.

    The multiplier L > max r makes it add up to 1: r + beta ref / pi = L for every response
    (arXiv 2510.20817). No response of the reference ever has 0. Raises ValueError unless beta > 0.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be a finite number above 0, got {beta}")
    ref, reward = ref_logp.double().exp(), reward.double()
    most = torch.where(ref > 0, reward, -torch.inf).amax(dim=-1)
    below = (most.unsqueeze(-1) - reward).clamp(min=0)
    # excess = L - max r lies in (0, beta]: at beta the sum is at most that of ref
    low, high = torch.zeros_like(most), torch.full_like(most, beta)
    for _ in range(STEPS):
        middle = (low + high) / 2
        over = (beta * ref / (middle.unsqueeze(-1) + below)).sum(dim=-1) > 1
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    logp = ref_logp.double() + math.log(beta) - (high.unsqueeze(-1) + below).log()
    return logp - logp.logsumexp(dim=-1, keepdim=True), most + high


def forward_objective(reward: Tensor, logp: Tensor, ref_logp: Tensor, beta: float) -> Tensor:
    """E_pi[r] - beta KL(ref || pi): [..., N] -> [...]"""
    return expected(reward, logp) - beta * exact_sequence_kl(ref_logp, logp)


def followed_beta(beta: float, decay: float, iterations: int) -> float:
    """beta / (1 + iterations (1 - decay)): the coefficient to the reference of the start whose
    optimum is that of E[r] - beta KL(pi || anchor), after so many iterations of

        log anchor <- decay log anchor + (1 - decay) log pi     (up to a constant, by response)

    each made when the policy is at its optimum. There log pi = log anchor + r / beta, so every
    iteration adds (1 - decay) r / beta to the anchor for ever. decay 0 is a copy.
    """
    return beta / (1 + iterations * (1 - decay))

"""Expectations and optima over enumerated responses: the last dimension runs over all N of them,
leading ones (prompts) are free.

Log-probabilities are of whole responses and normalised; -inf (an impossible response) is allowed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def optimal_policy(ref_logp: Tensor, reward: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """pi*(y) = ref(y) exp(r(y) / beta) / Z, which maximises E[r] - beta KL(pi || ref): [..., N] ->
    (log pi* [..., N], log Z [...]).

    The best objective is beta * log Z. Raises ValueError unless beta > 0 (at 0 the optimum is any
    mass on the best response).
    """
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be a finite number above 0, got {beta}")
    scores = ref_logp + reward / beta
    log_partition = scores.logsumexp(dim=-1)
    return scores - log_partition.unsqueeze(-1), log_partition


def greedy_policy(ref_logp: Tensor, reward: Tensor) -> Tensor:
    """The limit of `optimal_policy` for beta to 0: the reference among its best responses,
    nothing elsewhere. [..., N] -> [..., N]"""
    possible = torch.where(ref_logp > -torch.inf, reward, -torch.inf)
    best = possible == possible.amax(dim=-1, keepdim=True)
    scores = torch.where(best, ref_logp, -torch.inf)
    return scores - scores.logsumexp(dim=-1, keepdim=True)


def best_policy(ref_logp: Tensor, reward: Tensor, beta: float) -> Tensor:
    """`optimal_policy`'s log pi*, and its limit where beta is 0. [..., N] -> [..., N]"""
    return (
        greedy_policy(ref_logp, reward) if beta == 0 else optimal_policy(ref_logp, reward, beta)[0]
    )


def exact_sequence_kl(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """sum_y pi(y) (log pi(y) - log ref(y)) in nats per response: [..., N] -> [...]. inf where
    ref excludes what pi does not."""
    # where pi has nothing, also the nothing of an underflow, the term is 0 and not 0 * inf
    return expected(torch.where(logp.exp() > 0, logp - ref_logp, 0.0), logp)


def sequence_entropy(logp: Tensor) -> Tensor:
    """-sum_y pi(y) log pi(y) in nats per response: [..., N] -> [...]"""
    return -expected(torch.where(logp > -torch.inf, logp, 0.0), logp)


def expected(reward: Tensor, logp: Tensor) -> Tensor:
    """sum_y pi(y) reward(y): [..., N] -> [...]"""
    return (logp.exp() * reward).sum(dim=-1)


def objective(reward: Tensor, logp: Tensor, ref_logp: Tensor, beta: float) -> Tensor:
    """J = E_pi[r] - beta KL(pi || ref): [..., N] -> [...]"""
    return expected(reward, logp) - beta * exact_sequence_kl(logp, ref_logp)

"""Best of n: n responses of the reference, the one with the highest reward kept, of equal ones
the first drawn. As a distribution, and estimated from samples."""

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


def best_of_n_mean(score: Tensor, value: Tensor, n: int) -> Tensor:
    """The expected value of the response that best-of-n keeps, without bias, from N >= n responses:
    [..., N], [..., N] -> [...].

        sum_i C(i - 1, n - 1) / C(N, n) value_(i)

    value_(i) is that of the response with the i-th lowest score; C(i - 1, n - 1) of the C(N, n)
    subsets keep it (Nakano et al. 2021, arXiv 2112.09332, appendix I). Of equal scores the later
    drawn one counts as higher, which leaves the mean unbiased, since the responses are drawn
    alike. float64.

    Raises:
        ValueError: n is not in 1..N.
    """
    count = score.shape[-1]
    if not 1 <= n <= count:
        raise ValueError(f"best of n needs 1 <= n <= {count} responses, got n = {n}")
    log_all = _log_choose(count, n)
    weights = [
        math.exp(_log_choose(rank - 1, n - 1) - log_all) if rank >= n else 0.0
        for rank in range(1, count + 1)
    ]
    order = score.argsort(dim=-1, stable=True)
    return (
        value.double().gather(-1, order)
        * torch.tensor(weights, dtype=torch.float64, device=value.device)
    ).sum(dim=-1)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

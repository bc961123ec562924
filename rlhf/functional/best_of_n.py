"""Best of n: draw n responses, keep the one with the highest score."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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

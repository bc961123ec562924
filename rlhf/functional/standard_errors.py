"""Means and ratios over responses with their standard errors, for these prompts: who was asked is
no chance, what was answered is.

Where every prompt was answered at least twice, the spread of its own answers is known, and the
error is that of the mean over these very prompts: se^2 = sum_h (n_h / n)^2 s_h^2 / n_h (stratified
sampling; Cochran, "Sampling Techniques", 1977, 5.3). It says nothing of other prompts. Where a
prompt was answered once, its spread is unknown, and the prompts count as drawn at random: se = s /
sqrt(n), which holds the spread between prompts too and so errs on the large side for these prompts.
Errors for prompts like these, whatever they were asked, are in rlhf.compare.statistics.intervals.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def groups_of(keys: Sequence[Hashable]) -> Tensor:
    """[B] long: equal keys (prompts), equal number; numbered by first appearance."""
    known: dict[Hashable, int] = {}
    return torch.tensor([known.setdefault(key, len(known)) for key in keys], dtype=torch.long)


def mean_and_error(x: Tensor, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(mean, standard error) over the last dimension: x [..., B], groups [B] (`groups_of`) -> two
    [...] in float64.

    The error is NaN for fewer than 2 responses.
    """
    x = x.double()
    return x.mean(dim=-1), _error(x, groups)


def ratio_and_error(
    total: Tensor, count: Tensor, groups: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """(R, standard error) of R = sum_b total_b / sum_b count_b: total, count [..., B], groups [B]
    -> two [...] in float64.

    The delta method: R errs as the mean of (total_b - R count_b) / mean(count) does (Cochran 1977,
    2.11). R has a bias of order 1/B. 0 and NaN where nothing counts.
    """
    total, count = total.double(), count.double()
    ratio = total.sum(dim=-1) / count.sum(dim=-1).clamp(min=1)
    residual = total - ratio.unsqueeze(-1) * count
    return ratio, _error(residual, groups) / count.mean(dim=-1)


def _error(x: Tensor, groups: Tensor | None) -> Tensor:
    """The standard error of the mean of x [..., B] -> [...]"""
    size = x.shape[-1]
    if size < 2:
        return torch.full(x.shape[:-1], torch.nan, dtype=x.dtype, device=x.device)
    error: Tensor = x.std(dim=-1, correction=1) / math.sqrt(size)
    if groups is None:
        return error
    groups = groups.to(x.device)
    sizes = torch.bincount(groups)
    if int(sizes.min()) < 2:
        return error
    sizes = sizes.to(x.dtype)
    within = x - (by_group(x, groups, len(sizes)) / sizes)[..., groups]
    squares = by_group(within.square(), groups, len(sizes))
    return (sizes * squares / (sizes - 1)).sum(dim=-1).sqrt() / size


def by_group(x: Tensor, groups: Tensor, count: int) -> Tensor:
    """Sums over each group: [..., B] -> [..., H]"""
    return x.new_zeros(*x.shape[:-1], count).index_add_(-1, groups, x)

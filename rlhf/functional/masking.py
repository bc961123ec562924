"""Reductions over a boolean mask: what is masked never counts, whatever it holds (NaN included).
And how token losses become one number, the same for every micro-batch split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

Reduce = Callable[[Tensor, Tensor], Tensor]  # (x [B, T], mask [B, T]) -> scalar
Mode = Literal["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
MODES: tuple[str, ...] = get_args(Mode)

STD_FLOOR = 1e-5  # absolute
STD_FLOOR_RELATIVE = 1e-6  # of the largest |x|: about 8 units in the last place of a float32


def masked_fill_zero(x: Tensor, mask: Tensor) -> Tensor:
    """x where the mask is True, exactly 0 elsewhere; the gradient there is 0 too. The mask
    broadcasts to x.

    Raises:
        TypeError: the mask is not boolean.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"a mask must be boolean (True = counts), got {mask.dtype}")
    return x.masked_fill(~mask, 0)


def masked_sum(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """sum(m * x) over `dim`, or over everything: x [...], m broadcast to it -> x's shape without
    `dim`, or a scalar."""
    kept = masked_fill_zero(x, mask)
    return kept.sum() if dim is None else kept.sum(dim)


def masked_mean(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """sum(m * x) / sum(m), with the shapes of `masked_sum`; 0 where nothing counts."""
    counted = mask.expand_as(x)
    count = counted.sum() if dim is None else counted.sum(dim)
    return masked_sum(x, mask, dim) / count.clamp(min=1)


def masked_std(x: Tensor, mask: Tensor) -> Tensor:
    """The biased std (divided by n) of the finite counted entries: a float64 scalar, at least
    max(1e-5, 1e-6 max|x|).

    The floor keeps rounding noise of near-constant entries from being blown up by whoever divides
    by it.
    """
    valid = mask.expand_as(x) & torch.isfinite(x)
    wide = masked_fill_zero(x, valid).double()  # in float64 a constant's mean is exact
    centred = masked_fill_zero(wide - masked_mean(wide, valid), valid)
    largest = wide.abs().amax() if wide.numel() else wide.new_zeros(())
    return torch.maximum(
        masked_mean(centred.square(), valid).sqrt(),
        (STD_FLOOR_RELATIVE * largest).clamp(min=STD_FLOOR),
    )


def masked_whiten(x: Tensor, mask: Tensor, center: bool = True) -> Tensor:
    """(x - mean) / std over the mask; with center=False the mean stays: (x - mean) / std + mean.
    Exactly 0 where masked.

    The scope of the statistics is what is passed in, the std is `masked_std`: a constant x gives 0
    (center=False: itself). Entries that are not finite are left out of the statistics and come back
    as 0, so one bad reward does not poison the batch.

    With center=False every entry moves by mean * (1 - 1/std): a bonus or malus per token, so an
    incentive on length.
    """
    valid = mask.expand_as(x) & torch.isfinite(x)
    wide = masked_fill_zero(x, valid).double()
    mean = masked_mean(wide, valid)
    white = masked_fill_zero(wide - mean, valid) / masked_std(x, mask)
    if not center:
        white = white + mean
    return masked_fill_zero(white.to(x.dtype), valid)


def aggregate(
    x: Tensor,
    mask: Tensor,
    mode: Mode,
    *,
    tokens: int | None = None,
    sequences: int | None = None,
    length: int | None = None,
) -> Tensor:
    """One scalar from x [B, T]:

        token_mean     sum(m x) / tokens
        sequence_sum   sum(m x) / sequences                    mean over responses of token sums
        sequence_mean  sum_b mean_t(m x) / sequences           mean over responses of token means
        fixed_length   sum(m x) / (sequences * length)

    `tokens` and `sequences` are the totals of the whole optimizer step: then the micro-batches'
    results add up to the whole step's, however it is split. By default they are this batch's own. A
    row without any token is no sequence: it adds 0 and does not count. Raises ValueError for an
    unknown mode, and for fixed_length without a length (the padded one differs between splits).
    """
    tokens = int(mask.sum()) if tokens is None else tokens
    sequences = int(mask.any(dim=-1).sum()) if sequences is None else sequences
    if mode == "token_mean":
        return masked_sum(x, mask) / max(tokens, 1)
    if mode == "sequence_sum":
        return masked_sum(x, mask) / max(sequences, 1)
    if mode == "sequence_mean":
        return masked_mean(x, mask, dim=-1).sum() / max(sequences, 1)
    if mode == "fixed_length":
        if length is None or length < 1:
            raise ValueError(f"aggregation fixed_length needs a length of at least 1, got {length}")
        return masked_sum(x, mask) / (max(sequences, 1) * length)
    raise ValueError(f"unknown aggregation {mode!r}: choose one of {', '.join(MODES)}")

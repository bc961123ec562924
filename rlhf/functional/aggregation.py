"""How token losses become one number, the same for every micro-batch split."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from rlhf.functional.masking import masked_mean, masked_sum

Mode = Literal["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
MODES: tuple[str, ...] = get_args(Mode)


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

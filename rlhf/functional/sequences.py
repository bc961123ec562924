"""Where a response begins and ends: masks come from positions, never from token ids being unlike
the pad."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def response_mask(tokens: Tensor, eos_ids: int | Sequence[int]) -> Tensor:
    """True up to and including the first EOS of each row; a row without EOS counts whole.

    tokens [B, T], eos_ids one id or several -> [B, T] bool. What follows the first EOS does not
    matter: pad and EOS may be one id.
    """
    ids = [eos_ids] if isinstance(eos_ids, int) else list(eos_ids)
    is_eos = torch.isin(tokens, torch.tensor(ids, dtype=tokens.dtype, device=tokens.device))
    ended_before = is_eos.long().cumsum(dim=-1) - is_eos.long()
    return ended_before == 0


def positions(mask: Tensor) -> Tensor:
    """Position ids of an attention mask [B, L]: 0 at each row's first True token, however much
    padding is on its left."""
    return (mask.long().cumsum(dim=-1) - 1).clamp(min=0)


def last_index(mask: Tensor) -> Tensor:
    """Index of the last True of each row [B, T] -> [B] long; -1 for a row without any."""
    counted = torch.where(mask, torch.arange(mask.shape[-1], device=mask.device), -1)
    return F.pad(counted, (1, 0), value=-1).amax(dim=-1)  # a column for rows without any

"""All responses of a small vocabulary."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from rlhf.functional.sequences import response_mask

LIMIT = 1_000_000


def enumerate_responses(vocab_size: int, eos_id: int, max_length: int) -> tuple[Tensor, Tensor]:
    """Every response that a sampler of at most `max_length` tokens can give, shortest first -> tokens [N, T] long, mask [N, T] bool.

    A response ends with its first EOS, or is cut at T = max_length without one: N = sum_{k<T} (V-1)^k + (V-1)^T. What follows the EOS
    is filled with EOS and masked. Under any policy the probabilities of the N responses (products over the mask) add up to 1.

    Raises ValueError for a vocabulary without the EOS, no length, or more than a million responses.
    """
    if not 0 <= eos_id < vocab_size:
        raise ValueError(f"eos_id {eos_id} is outside the vocabulary of {vocab_size}")
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
    others = [v for v in range(vocab_size) if v != eos_id]
    count = sum(len(others) ** k for k in range(max_length)) + len(others) ** max_length
    if count > LIMIT:
        raise ValueError(f"{count} responses are too many to enumerate (limit {LIMIT})")
    rows = [[*body, *[eos_id] * (max_length - k)] for k in range(max_length + 1) for body in product(others, repeat=k)]
    tokens = torch.tensor(rows, dtype=torch.long)
    return tokens, response_mask(tokens, eos_id)

"""All responses of a small vocabulary."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from rlhf.functional.sequences import response_mask
from rlhf.types import PromptBatch, Rollout

LIMIT = 1_000_000


def count_responses(vocab_size: int, max_length: int) -> int:
    """N = sum_{k<T} (V-1)^k + (V-1)^T: what `enumerate_responses` would list."""
    others: int = vocab_size - 1
    return sum(int(others**k) for k in range(max_length)) + int(others**max_length)


def check_count(vocab_size: int, max_length: int, prompts: int) -> None:
    """Raises ValueError where the responses to so many prompts are too many to list."""
    if count_responses(vocab_size, max_length) * prompts > LIMIT:
        raise ValueError(
            f"responses of up to {max_length} tokens out of {vocab_size} to {prompts} prompts are"
            f" too many to enumerate (limit {LIMIT})"
        )


def enumerate_responses(vocab_size: int, eos_id: int, max_length: int) -> tuple[Tensor, Tensor]:
    """Every response that a sampler of at most `max_length` tokens can give, shortest first ->
    tokens [N, T] long, mask [N, T] bool.

    A response ends with its first EOS, or is cut at T = max_length without one: N = sum_{k<T}
    (V-1)^k + (V-1)^T. What follows the EOS is filled with EOS and masked. Under any policy the
    probabilities of the N responses (products over the mask) add up to 1.

    Raises ValueError for a vocabulary without the EOS, no length, or more than a million responses.
    """
    if not 0 <= eos_id < vocab_size:
        raise ValueError(f"eos_id {eos_id} is outside the vocabulary of {vocab_size}")
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
    count = count_responses(vocab_size, max_length)
    if count > LIMIT:
        raise ValueError(f"{count} responses are too many to enumerate (limit {LIMIT})")
    others = [v for v in range(vocab_size) if v != eos_id]
    rows = [
        [*body, *[eos_id] * (max_length - k)]
        for k in range(max_length + 1)
        for body in product(others, repeat=k)
    ]
    tokens = torch.tensor(rows, dtype=torch.long)
    return tokens, response_mask(tokens, eos_id)


def enumerate_rollout(
    prompts: PromptBatch, vocab_size: int, eos_id: int, max_length: int
) -> Rollout:
    """Every response to each of X prompts as one rollout of X * N rows, a prompt's rows together.
    Its `logp` is 0: nobody sampled it.

    Raises ValueError as `enumerate_responses`, whose limit holds for all rows together.
    """
    check_count(vocab_size, max_length, len(prompts))
    tokens, mask = enumerate_responses(vocab_size, eos_id, max_length)
    each = torch.arange(len(prompts)).repeat_interleave(len(tokens))
    tokens, mask = tokens.repeat(len(prompts), 1), mask.repeat(len(prompts), 1)
    ended = ((tokens == eos_id) & mask).any(dim=-1)
    return Rollout(
        prompt=prompts.rows(each),
        tokens=tokens,
        mask=mask,
        logp=torch.zeros(tokens.shape),
        ended=ended,
    )

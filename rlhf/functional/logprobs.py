"""Log-probabilities and entropy from logits. bfloat16 and float16 logits are widened to float32
first."""

from __future__ import annotations

import torch
from torch import Tensor


def tempered(logits: Tensor, temperature: float) -> Tensor:
    """logits / temperature. Raises ValueError unless temperature > 0."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    # a log-softmax over a vocabulary loses its digits in 16 bits
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    return wide if temperature == 1.0 else wide / temperature


def token_logp(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature) at the tokens: [B, T, V], [B, T] -> [B, T]. logits[:, t]
    predict tokens[:, t]: no shift here."""
    if logits.shape[:-1] != tokens.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit tokens {tuple(tokens.shape)}")
    scaled = tempered(logits, temperature)
    return scaled.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - scaled.logsumexp(dim=-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_v p log p in nats, p = softmax(logits / temperature): [B, T, V] -> [B, T]. A logit of
    -inf counts 0."""
    logp = tempered(logits, temperature).log_softmax(dim=-1)
    return -(logp.exp() * logp.masked_fill(logp == -torch.inf, 0)).sum(dim=-1)

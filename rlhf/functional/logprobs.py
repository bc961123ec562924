"""Log-probabilities and entropy from logits, in blocks (rlhf.functional.vocabulary), and the
mixture of two policies. bfloat16 and float16 logits are widened to float32 first."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.vocabulary import entropy_of, read, tempered


def token_logp(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature) at the tokens: [B, T, V], [B, T] -> [B, T]. logits[:, t]
    predict tokens[:, t]: no shift here."""
    if logits.shape[:-1] != tokens.shape:
        raise ValueError(f"logits {tuple(logits.shape)} do not fit tokens {tuple(tokens.shape)}")
    return read(logits, tokens, temperature=temperature).logp


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """-sum_v p log p in nats, p = softmax(logits / temperature): [B, T, V] -> [B, T]. A logit of
    -inf counts 0."""
    return entropy_of(logits, temperature)


def mixture(ref_logits: Tensor, logits: Tensor, weight: Tensor | float) -> Tensor:
    """Logits of the geometric mixture ref^(1 - lambda) pi^lambda of two softmaxes: [..., V] twice,
    lambda a number or one for each row (it broadcasts over [...]) -> [..., V].

        log p(v) = (1 - lambda) log ref(v) + lambda log pi(v) - log Z

    so (1 - lambda) ref_logits + lambda logits up to a constant of the row. The temperature enters
    alike before and after it: the mixture of both softmaxes at a temperature is that of the mixed
    logits. Exactly the reference's logits at lambda = 0, the policy's at 1. A token that one of the
    two excludes (logit -inf) is excluded at any lambda between and beyond.

    Source: DeRa, decoding-time realignment (Liu et al. 2024, arXiv 2402.02992), Eq. 10.
    """
    ref_logits, logits = tempered(ref_logits, 1.0), tempered(logits, 1.0)
    share = torch.as_tensor(weight, dtype=logits.dtype, device=logits.device).unsqueeze(-1)
    between = torch.lerp(ref_logits, logits, share)
    excluded = (ref_logits == -torch.inf) | (logits == -torch.inf)
    mixed = between.masked_fill(excluded, -torch.inf)
    return torch.where(share == 0, ref_logits, torch.where(share == 1, logits, mixed))

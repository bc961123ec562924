"""Log-probabilities and entropy from logits, in blocks (rlhf.functional.vocabulary). bfloat16 and
float16 logits are widened to float32 first."""

from __future__ import annotations

from torch import Tensor

from rlhf.functional.vocabulary import entropy_of, read


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

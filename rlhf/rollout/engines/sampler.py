"""Draws tokens: the distribution that is sampled, and random numbers that become tokens of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.randomness import generator as generator_of
from rlhf.rollout.engines.base import Sampling


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One token of each row, all [B]."""

    tokens: Tensor
    logp: Tensor  # of the distribution that was sampled, float32
    entropy: Tensor  # of that distribution, nats


def uniforms(generator: torch.Generator, rows: Tensor, steps: int) -> Tensor:
    """Random numbers in [0, 1) of the tokens of some rows: rows [B], their places in the whole
    batch -> [B, steps].

    The generator gives one seed, from which each row has numbers of its own. They depend on its
    place alone: not on who draws the other rows, how many there are, or how long any of them is.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    own = [
        torch.rand(steps, generator=generator_of(seed, "response", row)) for row in rows.tolist()
    ]
    return torch.stack(own).to(generator.device)


def warp(logits: Tensor, sampling: Sampling) -> Tensor:
    """[B, V] -> [B, V]: log-probabilities of the distribution that is sampled, float32.

    Temperature first, then the k most likely, then the smallest set with probability >= top_p
    (Holtzman et al. 2020, arXiv 1904.09751).
    """
    logits = logits.float()
    scaled = logits if sampling.temperature == 1.0 else logits / sampling.temperature
    whole = logp = torch.log_softmax(scaled, dim=-1)
    if 0 < sampling.top_k < logp.shape[-1]:
        kth = logp.topk(sampling.top_k, dim=-1).values[:, -1:]
        logp = logp.masked_fill(logp < kth, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, index = logp.sort(dim=-1, descending=True)
        probability = ordered.softmax(dim=-1)
        outside = probability.cumsum(dim=-1) - probability >= sampling.top_p
        logp = logp.masked_fill(torch.zeros_like(outside).scatter(1, index, outside), -torch.inf)
    return logp if logp is whole else torch.log_softmax(logp, dim=-1)


def inverted(probability: Tensor, u: Tensor) -> Tensor:
    """The token at which the sum of the probabilities exceeds u: [B, V], u [B] in [0, 1) -> [B].

    So u becomes a draw of the distribution, and the same u the same token whatever other rows
    there are. A row that holds NaN is drawn from uniformly, as a draw needs a token; its
    log-probabilities stay NaN, which is how rlhf.rollout.finite knows the response.
    """
    last = probability.shape[1] - 1
    sums = probability.cumsum(dim=-1)
    sound = torch.isfinite(sums[:, -1:])
    at = torch.searchsorted(sums, u[:, None] * sums[:, -1:], right=True)
    at = torch.where(sound, at, (u[:, None] * (last + 1)).long()).clamp_(max=last)
    possible = (probability.gather(1, at) > 0) | ~sound
    # where rounding has reached the end, or a token that cannot come. A GPU would wait for a look
    # at the values, and capture none
    if probability.is_cuda or not bool(possible.all()):
        at = torch.where(possible, at, probability.argmax(dim=-1, keepdim=True))
    return at.squeeze(1)


def draw(logits: Tensor, u: Tensor, sampling: Sampling) -> Drawn:
    """A token of each row by the random numbers u: [B, V], [B] -> [B] each."""
    logp = warp(logits, sampling)
    probability = logp.exp()
    tokens = inverted(probability, u)
    return Drawn(
        tokens=tokens,
        logp=logp.gather(1, tokens[:, None]).squeeze(1),
        entropy=torch.special.entr(probability).sum(dim=-1),
    )

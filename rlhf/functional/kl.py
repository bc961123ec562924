"""KL(pi || ref) from tokens that pi sampled: d = logp - ref_logp (Schulman, "Approximating KL
divergence", 2020).

| name       | value          | E_pi of it                 | sign      |
|------------|----------------|----------------------------|-----------|
| k1         | d              | KL(pi || ref)              | any       |
| k2         | d^2 / 2        | not the KL (close, for small d) | >= 0 |
| k3         | exp(-d) - 1 + d | KL(pi || ref)             | >= 0      |
| absolute   | |d|            | above the KL               | >= 0      |
| k1_clamped | max(d, 0)      | above the KL (AlpacaFarm)  | >= 0      |
| exact      | sum_v pi log(pi / ref) | itself: no sampling of the token | >= 0 |

Values only: what the gradient of each descends is told in rlhf.kl.properties. Shapes [B, T] -> [B,
T], unmasked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf.functional.logprobs import mixture
from rlhf.functional.masking import masked_mean, masked_sum
from rlhf.functional.standard_errors import mean_and_error, ratio_and_error
from rlhf.functional.vocabulary import kl_of

LOG_RATIO_CLAMP = 20.0


def k1(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d = logp - ref_logp, nats per token: [B, T] -> [B, T]; its mean over the policy's samples is
    the KL."""
    return logp - ref_logp


def k2(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """d^2 / 2, nats per token: [B, T] -> [B, T]; never negative, biased."""
    return (logp - ref_logp).square() / 2


def k3(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """exp(-d) - 1 + d, with d clamped to +-20 in the exponential so that it cannot overflow.

    Below d = -20 the linear part is clamped too: value exp(20) - 21, gradient 0 (a gradient of +1
    would have the wrong sign). Above 20 the exponential is nil and the clamp changes nothing.
    `log_ratio_clip_fraction` reports how often it acted.
    """
    d = logp - ref_logp
    return torch.expm1(-d.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)) + d.clamp(min=-LOG_RATIO_CLAMP)


def absolute(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """|d|"""
    return (logp - ref_logp).abs()


def k1_clamped(logp: Tensor, ref_logp: Tensor) -> Tensor:
    """max(d, 0): biased upwards, as in AlpacaFarm."""
    return (logp - ref_logp).clamp(min=0)


def exact(logits: Tensor, ref_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """sum_v pi(v) (log pi(v) - log ref(v)) at each position: [B, T, V] -> [B, T], both
    distributions at the same temperature.

    Rounding can leave -1e-7 or so; it is not clipped, so that the mean has no bias. A token that pi
    excludes (logit -inf) counts 0.
    """
    return kl_of(logits, ref_logits, temperature)


def mixture_kl(
    ref_logits: Tensor, logits: Tensor, weight: Tensor | float, temperature: float = 1.0
) -> Tensor:
    """KL(p || ref) at each position of the geometric mixture p = ref^(1 - lambda) pi^lambda / Z
    (rlhf.functional.logprobs.mixture), both at the temperature: [..., V] twice -> [...], nats.

    0 at lambda = 0, `exact(logits, ref_logits)` at 1, and never less at a larger lambda >= 0.
    """
    return kl_of(mixture(ref_logits, logits, weight), ref_logits, temperature)


def log_ratio_clip_fraction(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """Share of the counted tokens with |d| > 20, where k3 is clamped -> scalar."""
    return masked_mean(((logp - ref_logp).abs() > LOG_RATIO_CLAMP).to(logp.dtype), mask)


def sequence_nats(kl: Tensor, mask: Tensor, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(mean, standard error) over the B responses of sum_t m * kl, in nats per response.

    `groups` [B] tells which responses answer the same prompt (rlhf.functional.standard_errors). The
    error is NaN for fewer than 2 responses.
    """
    return mean_and_error(masked_sum(kl, mask, dim=-1), groups)


def token_nats(kl: Tensor, mask: Tensor, groups: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(sum(m * kl) / sum(m), its standard error), in nats per token. The first times the mean
    length is that of `sequence_nats`."""
    return ratio_and_error(masked_sum(kl, mask, dim=-1), mask.sum(dim=-1), groups)

"""How the KL is estimated at each token. `sampled` says that the estimate holds only for tokens
drawn from the policy itself.

Each says what its gradient descends, by placement; rlhf.kl.descends has all pairs.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rlhf.functional import kl


class Estimator(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def sampled(self) -> bool: ...

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        """logp, ref_logp (and exact_kl) [B, T] -> nats per token [B, T], unmasked. Or of whole
        responses: [B] -> [B]."""
        ...


class K1:
    """d: unbiased, of any sign. Descends in the reward the sequence KL, exactly; in a loss
    nothing (refused)."""

    name = "k1"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1(logp, ref_logp)


class K2:
    """d^2 / 2: biased, low variance. Descends as a sequence_loss the sequence KL, exactly; in
    the loss each token's own KL."""

    name = "k2"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k2(logp, ref_logp)


class K3:
    """exp(-d) - 1 + d: unbiased, never negative. Descends in a loss the forward KL, of sequences
    or of each token."""

    name = "k3"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k3(logp, ref_logp)


class Abs:
    """|d|: above the KL. Descends in a loss twice the total variation, of sequences or of each
    token."""

    name = "abs"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.absolute(logp, ref_logp)


class K1Clamped:
    """max(d, 0): biased upwards, AlpacaFarm's. Descends no divergence."""

    name = "k1_clamped"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1_clamped(logp, ref_logp)


class Exact:
    """sum_v pi log(pi / ref) at each prefix: the caller computes it from the logits
    (functional.kl.exact).

    Descends in both the sequence KL, exactly.
    """

    name = "exact"
    sampled = False

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        if exact_kl is None:
            raise ValueError(
                "the exact estimator needs exact_kl [B, T], the sum over the vocabulary at each"
                " prefix"
            )
        return exact_kl

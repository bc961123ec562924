"""How the KL is estimated at each token. `sampled` says that the estimate holds only for tokens drawn from the policy itself."""

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
        """logp, ref_logp (and exact_kl) [B, T] -> nats per token [B, T], unmasked."""
        ...


class K1:
    """d: unbiased, of any sign."""

    name = "k1"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1(logp, ref_logp)


class K2:
    """d^2 / 2: biased, low variance."""

    name = "k2"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k2(logp, ref_logp)


class K3:
    """exp(-d) - 1 + d: unbiased, never negative."""

    name = "k3"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k3(logp, ref_logp)


class Abs:
    """|d|: above the KL."""

    name = "abs"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.absolute(logp, ref_logp)


class K1Clamped:
    """max(d, 0): biased upwards, AlpacaFarm's."""

    name = "k1_clamped"
    sampled = True

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1_clamped(logp, ref_logp)


class Exact:
    """sum_v pi log(pi / ref) at each prefix: the caller computes it from the logits (functional.kl.exact)."""

    name = "exact"
    sampled = False

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        if exact_kl is None:
            raise ValueError("the exact estimator needs exact_kl [B, T], the sum over the vocabulary at each prefix")
        return exact_kl

"""How the KL is estimated at each token. What each estimate holds for, and what its gradient
descends, stands in `rlhf.kl.properties`."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from rlhf.functional import kl
from rlhf.kl.properties import ESTIMATORS


class Estimator(Protocol):
    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        """logp, ref_logp (and exact_kl) [B, T] -> nats per token [B, T], unmasked. Or of whole
        responses: [B] -> [B]."""
        ...


class K1:
    """d: unbiased, of any sign. Descends in the reward the sequence KL, exactly; in a loss
    nothing (refused)."""

    properties = ESTIMATORS["k1"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1(logp, ref_logp)


class K2:
    """d^2 / 2: biased, low variance. Descends as a sequence_loss the sequence KL, exactly; in
    the loss each token's own KL."""

    properties = ESTIMATORS["k2"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k2(logp, ref_logp)


class K3:
    """exp(-d) - 1 + d: unbiased, never negative. Descends in a loss the forward KL, of sequences
    or of each token."""

    properties = ESTIMATORS["k3"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k3(logp, ref_logp)


class Abs:
    """|d|: above the KL. Descends in a loss twice the total variation, of sequences or of each
    token."""

    properties = ESTIMATORS["abs"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.absolute(logp, ref_logp)


class K1Clamped:
    """max(d, 0): biased upwards, AlpacaFarm's. Descends no divergence."""

    properties = ESTIMATORS["k1_clamped"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        return kl.k1_clamped(logp, ref_logp)


class Exact:
    """sum_v pi log(pi / ref) at each prefix: the caller computes it from the logits
    (functional.kl.exact).

    Descends in both the sequence KL, exactly.
    """

    properties = ESTIMATORS["exact"]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        if exact_kl is None:
            raise ValueError(
                "the exact estimator needs exact_kl [B, T], the sum over the vocabulary at each"
                " prefix"
            )
        return exact_kl

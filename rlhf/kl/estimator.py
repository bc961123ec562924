"""How the KL is estimated at each token. What each estimate holds for, and what its gradient
descends, stands in `rlhf.kl.properties`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from rlhf.functional import kl
from rlhf.kl.properties import ESTIMATORS


class Estimator:
    """The base of ours; one's own may be any callable of the same arguments."""

    formula: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        """logp, ref_logp (and exact_kl) [B, T] -> nats per token [B, T], unmasked. Or of whole
        responses: [B] -> [B]."""
        return self.formula(logp, ref_logp)


class K1(Estimator):
    """d: unbiased, of any sign. Descends in the reward the sequence KL, exactly; in a loss
    nothing (refused)."""

    properties = ESTIMATORS["k1"]
    formula = staticmethod(kl.k1)


class K2(Estimator):
    """d^2 / 2: biased, low variance. Descends as a sequence_loss the sequence KL, exactly; in
    the loss each token's own KL."""

    properties = ESTIMATORS["k2"]
    formula = staticmethod(kl.k2)


class K3(Estimator):
    """exp(-d) - 1 + d: unbiased, never negative. Descends in a loss the forward KL, of sequences
    or of each token."""

    properties = ESTIMATORS["k3"]
    formula = staticmethod(kl.k3)


class Abs(Estimator):
    """|d|: above the KL. Descends in a loss twice the total variation, of sequences or of each
    token."""

    properties = ESTIMATORS["abs"]
    formula = staticmethod(kl.absolute)


class K1Clamped(Estimator):
    """max(d, 0): biased upwards, AlpacaFarm's. Descends no divergence."""

    properties = ESTIMATORS["k1_clamped"]
    formula = staticmethod(kl.k1_clamped)


class Exact(Estimator):
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

"""The local KL(pi_old || pi): how far one update may move. It knows nothing of the reference;
the global KL lives in rlhf.kl."""

from __future__ import annotations

import math

from torch import Tensor

from rlhf.arguments import positive
from rlhf.functional.kl import k3
from rlhf.functional.masking import Reduce, masked_mean

State = dict[str, float]


def local_kl(logp: Tensor, old_logp: Tensor, mask: Tensor, reduce: Reduce = masked_mean) -> Tensor:
    """KL(pi_old || pi) from tokens that pi_old drew: k3 = rho - 1 - log rho, rho = exp(logp -
    old_logp). [B, T] -> scalar, nats per token.

    0 exactly when nothing moved, never negative; its gradient under pi_old's samples is that of
    KL(pi_old || pi).
    """
    return reduce(k3(old_logp.detach(), logp).masked_fill(~mask, 0), mask)


class TrustRegion:
    """The limit of one update beside the clipping; the base sets none."""

    coef = 0.0  # of the loss term; 0 where there is none

    def loss(
        self, logp: Tensor, old_logp: Tensor, mask: Tensor, reduce: Reduce = masked_mean
    ) -> Tensor:
        """The term added to the policy loss, [B, T] -> scalar."""
        return logp.new_zeros(())

    def should_stop(self, local_kl: float) -> bool:
        """True to leave the inner epochs, from a minibatch's local KL in nats per token."""
        return False

    def update(self, local_kl: float) -> None:
        """Once an iteration, from the local KL that it ended with: a region that has this method
        of its own costs a forward pass over the rollout."""

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State) -> None:
        """From a checkpoint's `state_dict`."""


def follows_kl(region: TrustRegion) -> bool:
    """Whether the region moves with the local KL that an iteration ends with."""
    return type(region).update is not TrustRegion.update


class Unlimited(TrustRegion):
    """The clipping alone."""


class EarlyStop(TrustRegion):
    """Leave the inner epochs once the local KL is above `target` nats per token, or is no number
    at all."""

    def __init__(self, target: float) -> None:
        self.target = positive("target", target)

    def should_stop(self, local_kl: float) -> bool:
        return not local_kl <= self.target


class Penalty(TrustRegion):
    """coef * KL(pi_old || pi) in the loss: the adaptive KL penalty of PPO (arXiv 1707.06347, Eq.
    8).

    The coefficient doubles above 1.5 target and halves below target / 1.5. It stays within a factor
    of 2^20 of where it started, so that a long run cannot lose it to underflow.
    """

    def __init__(self, coef: float, target: float) -> None:
        self.coef = self._start = positive("coef", coef)
        self.target = positive("target", target)

    def loss(
        self, logp: Tensor, old_logp: Tensor, mask: Tensor, reduce: Reduce = masked_mean
    ) -> Tensor:
        return self.coef * local_kl(logp, old_logp, mask, reduce)

    def update(self, local_kl: float) -> None:
        if not math.isfinite(local_kl):
            return
        if local_kl > 1.5 * self.target:
            self.coef = min(self.coef * 2, self._start * 2**20)
        elif local_kl < self.target / 1.5:
            self.coef = max(self.coef / 2, self._start / 2**20)

    def state_dict(self) -> State:
        return {"coef": self.coef}

    def load_state_dict(self, state: State) -> None:
        self.coef = state["coef"]

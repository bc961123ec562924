"""KLPenalty: the one composer of the KL pieces, and the only KL name that the PPO module knows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlhf.functional.masking import Reduce, masked_fill_zero, masked_mean
from rlhf.functional.sequences import last_index
from rlhf.kl.controller import Controller
from rlhf.kl.estimator import Estimator
from rlhf.kl.placement import Placement, loss_terms
from rlhf.kl.reference import Reference
from rlhf.kl.rules import faults

Coef = float | Tensor  # a tensor broadcasts over [B, T]


def shaped_rewards(kl: Tensor, score: Tensor, mask: Tensor, coef: Coef) -> Tensor:
    """r_t = -coef kl_t m_t + score 1[t = last valid]: kl [B, T], score [B] -> [B, T]; the sum over t is score - sum_t coef kl_t.

    The last valid token is the EOS, or the last token of a response that never ended. A row without tokens gets no reward.
    """
    at_last = torch.arange(mask.shape[-1], device=mask.device) == last_index(mask).unsqueeze(-1)
    return -masked_fill_zero(coef * kl, mask) + torch.where(at_last, score.unsqueeze(-1), 0.0)


class KLPenalty:
    """The penalty coef * KL(pi || reference): coefficient, estimate, place and reference in one.

    Timing: shape rollout i with `coef`, log it, then call `update` once with the KL of rollout i.

    Raises:
        ValueError: the pieces cannot work together, with one sentence for each reason (rlhf.kl.rules).
    """

    def __init__(
        self,
        controller: Controller,
        estimator: Estimator,
        placement: Placement,
        reference: Reference,
        *,
        top_k: int = 0,
        top_p: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        reasons = faults(
            estimator=type(estimator).__name__,
            placement=type(placement).__name__,
            controller=type(controller).__name__,
            coef=controller.coef,
            top_k=top_k,
            top_p=top_p,
            reference=type(reference).__name__,
            temperature=temperature,
        )
        if reasons:
            raise ValueError(" ".join(reasons))
        self.controller = controller
        self.estimator = estimator
        self.placement = placement
        self.reference = reference

    @property
    def coef(self) -> float:
        """The coefficient in force: of the next rollout to be shaped."""
        return self.controller.coef

    def token_kl(self, logp: Tensor, ref_logp: Tensor, exact_kl: Tensor | None = None) -> Tensor:
        """The estimate at each token, [B, T] -> [B, T] nats, unmasked. No gradient flows to the reference."""
        return self.estimator(logp, ref_logp.detach(), exact_kl)

    def token_rewards(self, kl: Tensor, score: Tensor, mask: Tensor, coef: Coef | None = None) -> Tensor:
        """`shaped_rewards` with this penalty's coefficient (or `coef`); the score alone where the placement is the loss. [B, T]"""
        if not self.placement.in_reward:
            coef = 0.0
        elif coef is None:
            coef = self.coef
        return shaped_rewards(kl.detach(), score.detach(), mask, coef)

    def loss(
        self,
        logp: Tensor,
        ref_logp: Tensor,
        old_logp: Tensor,
        exact_kl: Tensor | None,
        mask: Tensor,
        reduce: Reduce = masked_mean,
        coef: Coef | None = None,
    ) -> Tensor:
        """reduce(coef * loss_terms) -> scalar; 0 where the placement is the reward. logp (and exact_kl) carry the gradient.

        Unwhitened advantages share the unit of this term. If advantages were divided by a std, `both` descends the true gradient only
        when this term is divided by it too.
        """
        if not self.placement.in_loss:
            return logp.new_zeros(())
        kl = masked_fill_zero(self.token_kl(logp, ref_logp, exact_kl), mask)
        terms = loss_terms(kl, logp, old_logp, mask, sampled=self.estimator.sampled)
        return reduce((self.coef if coef is None else coef) * terms, mask)

    def update(self, sequence_nats: float, token_nats: float, episodes: int) -> None:
        """Once per rollout, after its use, with its KL over all ranks: the controller gets the unit it asks for."""
        unit = self.controller.unit
        self.controller.update(sequence_nats if unit == "sequence" else token_nats, episodes, unit=unit)

    def state_dict(self) -> dict[str, Any]:
        return {"controller": self.controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.load_state_dict(state["controller"])

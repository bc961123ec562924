"""`KLPenalty` composes the KL pieces into one penalty; `SteeringKL` is the KL that moves its
coefficient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf.functional.kl import k1, sequence_nats, token_nats
from rlhf.functional.masking import Reduce, masked_fill_zero, masked_mean, masked_sum
from rlhf.functional.sequences import last_index
from rlhf.functional.standard_errors import mean_and_error
from rlhf.kl.controller import Controller, Unit
from rlhf.kl.estimator import Estimator
from rlhf.kl.path import Path
from rlhf.kl.placement import Placement, sequence_weights, share_over_tokens, token_weights
from rlhf.kl.properties import (
    controller_properties,
    estimator_properties,
    placement_properties,
    reference_properties,
)
from rlhf.kl.reference import Reference
from rlhf.kl.rules import faults

Coef = float | Tensor  # a tensor broadcasts over [B, T]


def shaped_rewards(kl: Tensor, score: Tensor, mask: Tensor, coef: Coef) -> Tensor:
    """r_t = -coef kl_t m_t + score 1[t = last valid]: kl [B, T], score [B] -> [B, T]; the sum over
    t is score - sum_t coef kl_t.

    The last valid token is the EOS, or the last token of a response that never ended. A row without
    tokens gets no reward.
    """
    at_last = torch.arange(mask.shape[-1], device=mask.device) == last_index(mask).unsqueeze(-1)
    return -masked_fill_zero(coef * kl, mask) + torch.where(at_last, score.unsqueeze(-1), 0.0)


@dataclass(frozen=True, kw_only=True)
class SteeringKL:
    """The KL of one rollout that moves the coefficient; and, for a controller that walks, its
    standard error and the mean of score - coef * KL over the responses with its own."""

    sequence_nats: float
    token_nats: float
    episodes: int
    error: float = math.nan  # of sequence_nats
    objective: float = math.nan
    objective_error: float = math.nan

    def nats(self, unit: Unit) -> float:
        return self.sequence_nats if unit == "sequence" else self.token_nats


WALKING = ("error", "objective", "objective_error")  # of SteeringKL, for a controller that walks


class KLPenalty:
    """The penalty coef * KL(pi || reference): coefficient, estimate, place and reference in one.

    Timing: shape rollout i with `coef`, log it, then call `update` once with the KL of rollout i.

    Raises:
        ValueError: the pieces cannot work together, with one sentence for each reason
            (rlhf.kl.rules).
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
    ) -> None:
        self.controller, self.estimator = controller, estimator
        self.placement, self.reference = placement, reference
        self.estimates = estimator_properties(estimator)
        self.acts = placement_properties(placement)
        self.moves_reference = reference_properties(reference).moves
        self.path = controller if isinstance(controller, Path) else None
        self.walks = controller_properties(controller).walks
        # what answers the KL waits while the warm-up of the values holds the policy still
        self.waits = self.walks or controller_properties(controller).follows_kl
        reasons = faults(
            controller=controller_properties(controller),
            estimator=self.estimates,
            placement=self.acts,
            reference=reference_properties(reference),
            coef=controller.coef,
            top_k=top_k,
            top_p=top_p,
        )
        if reasons:
            raise ValueError(" ".join(reasons))

    @property
    def coef(self) -> float:
        """The coefficient in force: of the next rollout to be shaped."""
        return self.controller.coef

    @property
    def needs_exact(self) -> bool:
        """True if `token_kl` reads the KL over the vocabulary at each prefix."""
        return self.estimates.takes_exact and not self.acts.of_sequence

    @property
    def needs_exact_in_loss(self) -> bool:
        """True if `loss` asks for the KL over the vocabulary, with its gradient."""
        return self.acts.in_loss and not self.estimates.needs_policy_samples

    def token_kl(
        self, logp: Tensor, ref_logp: Tensor, mask: Tensor, exact_kl: Tensor | None = None
    ) -> Tensor:
        """The estimate at each token, [B, T] -> [B, T] nats, 0 where masked. No gradient flows to
        the reference.

        Where the placement is of the sequence: the estimate of the whole response's log-ratio, in
        equal parts on its tokens.
        """
        ref_logp = ref_logp.detach()
        if self.acts.of_sequence:
            return share_over_tokens(
                self.estimator(masked_sum(logp, mask, dim=-1), masked_sum(ref_logp, mask, dim=-1)),
                mask,
            )
        return masked_fill_zero(self.estimator(logp, ref_logp, exact_kl), mask)

    def token_rewards(
        self, kl: Tensor, score: Tensor, mask: Tensor, coef: Coef | None = None
    ) -> Tensor:
        """`shaped_rewards` with this penalty's coefficient (or `coef`); the score alone where
        the placement is the loss. [B, T]"""
        coef = self.coef if coef is None else coef
        return shaped_rewards(
            kl.detach(), score.detach(), mask, coef if self.acts.in_reward else 0.0
        )

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
        """reduce(coef * rho * kl) -> scalar, without rho where the placement is not weighted; 0
        where it is the reward. logp (and exact_kl) carry the gradient.

        Unwhitened advantages share the unit of this term. If advantages were divided by a std, it
        must be divided by it too to mean the same coefficient. `reduce` scales it as the policy
        loss: with token_mean or fixed_length both are the gradient of the objective divided by one
        number (the mean length or the limit), so a coefficient is the same trade in each.
        """
        if not self.acts.in_loss:
            return logp.new_zeros(())
        kl = self.token_kl(logp, ref_logp, mask, exact_kl)
        if self.acts.of_sequence:
            kl = sequence_weights(logp, old_logp, mask) * kl
        elif self.estimates.needs_policy_samples and self.acts.weighted:
            kl = token_weights(logp, old_logp, mask) * kl
        return reduce((self.coef if coef is None else coef) * kl, mask)

    def steering_kl(
        self,
        logp: Tensor,
        ref_logp: Tensor,
        kl: Tensor,
        mask: Tensor,
        score: Tensor | None = None,
        groups: Tensor | None = None,
    ) -> SteeringKL:
        """Of the plain log-ratio, whatever estimator shapes the reward: an unbiased estimate of the
        KL that is steered (docs/decisions/0004); or, where the controller is steered by the
        penalty, of `kl`, the penalty's estimate. All [B, T]; score [B], and groups [B] of the
        errors as in rlhf.functional.standard_errors."""
        by_penalty = getattr(self.controller, "steered_by", "log_ratio") == "penalty"
        per_token = kl.double() if by_penalty else k1(logp.double(), ref_logp.double())
        mean, error = sequence_nats(per_token, mask, groups)
        reward = logp.new_full((len(logp),), torch.nan) if score is None else score
        objective = reward.double() - self.coef * masked_sum(per_token, mask, dim=-1)
        of_objective, its_error = mean_and_error(objective, groups)
        return SteeringKL(
            sequence_nats=float(mean),
            token_nats=float(token_nats(per_token, mask)[0]),
            episodes=len(logp),
            error=float(error),
            objective=float(of_objective),
            objective_error=float(its_error),
        )

    def update(self, kl: SteeringKL) -> None:
        """Once per rollout, after its use, with its KL over all ranks: the controller gets the
        unit it asks for, and one that walks the errors and the objective too."""
        unit, more = self.controller.unit, {}
        if self.walks:
            more = {name: getattr(kl, name) for name in WALKING}
        self.controller.update(kl.nats(unit), kl.episodes, unit=unit, **more)

    def steering(self, kl: SteeringKL) -> dict[str, float]:
        """`kl/target_<unit>_nats` and `kl/error_<unit>_nats`, KL - target, in the controller's
        unit; nothing without a target."""
        unit, target = self.controller.unit, self.controller.target
        if target is None:
            return {}
        return {f"kl/target_{unit}_nats": target, f"kl/error_{unit}_nats": kl.nats(unit) - target}

    def state_dict(self) -> dict[str, Any]:
        return {"controller": self.controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.controller.load_state_dict(state["controller"])

"""The pieces of the KL penalty that do not work together, and why (`faults`); and for a run that is
allowed, the effect of the sampling settings on its numbers (`cautions`). Torch-free: the config
layer asks before anything is loaded, the penalty asks again when it is built."""

from __future__ import annotations

import math

from rlhf.kl.properties import (
    ControllerProperties,
    EstimatorProperties,
    PlacementProperties,
    ReferenceProperties,
)

RIGHT = (
    "eval/kl/plain/... is the KL of the policy itself: on responses of their own, drawn at each"
    " evaluation at temperature 1 without top-k and top-p."
)


def faults(
    *,
    controller: ControllerProperties,
    estimator: EstimatorProperties,
    placement: PlacementProperties,
    reference: ReferenceProperties,
    coef: float,
    top_k: int = 0,
    top_p: float = 1.0,
    bounds: tuple[float, float] | None = None,
) -> list[str]:
    """One sentence for each reason why the combination cannot work; none if it can.

    top_k = 0 and top_p = 1 mean off. `bounds` are the controller's (min_coef, max_coef), if it has
    them.
    """
    reasons = _coefficient_faults(controller, coef, bounds)
    if placement.kind in estimator.refused:
        pair = f"kl/estimator={estimator.name} with kl/placement={placement.name}"
        reasons.append(f"{pair}: {estimator.refused[placement.kind]}")
    reasons += _sampling_faults(estimator, controller, coef, top_k, top_p)
    if reference.restarts and controller.follows_kl:
        reasons.append(
            f"kl/reference={reference.name} with kl/controller={controller.name}: the KL falls back"
            " to 0 at every copy, so no coefficient holds it at a target; use kl/controller=fixed,"
            " or kl/reference=ema or sft."
        )
    if reference.moves and controller.walks:
        reasons.append(
            f"kl/reference={reference.name} with kl/controller={controller.name}: the points of a"
            " path are optima of the KL to one policy, and this reference moves, so that none would"
            " be what its coefficient says; use kl/reference=sft."
        )
    return reasons


def _coefficient_faults(
    controller: ControllerProperties, coef: float, bounds: tuple[float, float] | None
) -> list[str]:
    if not (math.isfinite(coef) and coef >= 0):
        return [f"kl.coef must be a finite number of at least 0, got {coef}."]
    if controller.multiplies and coef == 0:
        return [
            f"kl.coef=0 with kl/controller={controller.name}: it multiplies the coefficient, so 0"
            " stays 0 for ever; start above 0."
        ]
    if bounds is not None and not bounds[0] <= coef <= bounds[1]:
        return [f"kl.coef={coef} lies outside the controller's bounds [{bounds[0]}, {bounds[1]}]."]
    return []


def _sampling_faults(
    estimator: EstimatorProperties,
    controller: ControllerProperties,
    coef: float,
    top_k: int,
    top_p: float,
) -> list[str]:
    """The temperature is no fault: policy, old and reference log-probabilities are all taken at
    it, and so is the KL."""
    idle = coef <= 0 and controller.constant  # no penalty: the KL is only measured
    if not controller.follows_kl and (idle or not estimator.needs_policy_samples):
        return []
    on = [
        *([f"generation.top_k={top_k}"] if top_k > 0 else []),
        *([f"generation.top_p={top_p}"] if top_p < 1 else []),
    ]
    if not on:
        return []
    if not estimator.needs_policy_samples:
        return [
            f"{' and '.join(on)} with kl/controller={controller.name}: it is steered by log-ratios"
            " of sampled tokens, which are not drawn from the policy then; turn it off (top_k=0,"
            " top_p=1), or use kl/controller=fixed."
        ]
    return [
        f"{' and '.join(on)} with kl/estimator={estimator.name}: the sampled tokens are not drawn"
        " from the policy, so their log-ratios do not estimate its KL; turn it off (top_k=0,"
        " top_p=1), or use kl/estimator=exact."
    ]


def cautions(*, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[str]:
    """One sentence for each reason why numbers of the run need care: they are something else than
    the KL of the policy. None if responses are drawn from the policy itself.

    top_k = 0 and top_p = 1 mean off. What cannot work is left to `faults`.
    """
    sentences = []
    cut = [
        *([f"generation.top_k={top_k}"] if top_k > 0 else []),
        *([f"generation.top_p={top_p:g}"] if top_p < 1 else []),
    ]
    if cut:
        sentences.append(
            f"{' and '.join(cut)}: responses are not drawn from the policy. What averages sampled"
            " log-ratios is then no estimate of its KL: kl/sequence_nats, kl/token_nats, their _k2"
            " and _k3, their standard errors, and `objective`, which has kl/sequence_nats in it."
            " The _exact ones are the policy's KL at each prefix, but the prefixes are the"
            " sampler's; the same holds for policy/entropy. Rewards and lengths are the sampler's."
            " The ratios of the loss are the policy's, so its gradient is biased. " + RIGHT
        )
    if temperature != 1:
        sentences.append(
            f"generation.temperature={temperature:g}: policy and reference are both taken at it."
            " Every kl/... (and `objective`) is that of the tempered policy to the tempered"
            " reference, which is what is penalised, not of the policy at temperature 1. " + RIGHT
        )
    return sentences

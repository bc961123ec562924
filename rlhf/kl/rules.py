"""Which pieces of the KL penalty do not work together, and why. No torch: the config layer asks
before anything is loaded."""

from __future__ import annotations

import math

# controllers that KL drives; each multiplies the coefficient
TARGETED = frozenset({"Adaptive", "AdaptiveAlpacaFarm", "PID", "Dual"})


def faults(
    *,
    estimator: str,
    placement: str,
    controller: str,
    coef: float,
    top_k: int,
    top_p: float,
    reference: str = "SFT",
    temperature: float = 1.0,
    bounds: tuple[float, float] | None = None,
) -> list[str]:
    """One sentence for each reason why the combination cannot work; none if it can.

    Names are class names (K1, Loss, Adaptive, SFT). top_k = 0 and top_p = 1 mean off. `bounds` are
    the controller's (min_coef, max_coef), if it has them.
    """
    return [
        *_coefficient_faults(controller, coef, bounds),
        *_placement_faults(estimator, placement),
        *_sequence_faults(estimator, placement),
        *_sampling_faults(estimator, controller, coef, top_k, top_p, temperature),
        *_reference_faults(controller, reference),
    ]


def _coefficient_faults(
    controller: str, coef: float, bounds: tuple[float, float] | None
) -> list[str]:
    if not (math.isfinite(coef) and coef >= 0):
        return [f"kl.coef must be a finite number of at least 0, got {coef}."]
    if controller in TARGETED and coef == 0:
        return [
            f"kl.coef=0 with the controller {controller}: it multiplies the coefficient, so 0 stays"
            " 0 for ever; start above 0."
        ]
    if bounds is not None and not bounds[0] <= coef <= bounds[1]:
        return [f"kl.coef={coef} lies outside the controller's bounds [{bounds[0]}, {bounds[1]}]."]
    return []


def _placement_faults(estimator: str, placement: str) -> list[str]:
    if placement == "Both" and estimator != "Exact":
        return [
            f"kl/placement=both with the estimator {estimator}: it would count the KL twice; only"
            " exact needs both (its own term in the loss, the future's in the reward)."
        ]
    if estimator == "Exact" and placement == "Reward":
        return [
            "kl/estimator=exact with kl/placement=reward: a token's exact KL does not depend on the"
            " token that was drawn, so its own term would get no gradient; use kl/placement=both."
        ]
    if estimator == "Exact" and placement == "Loss":
        return [
            "kl/estimator=exact with kl/placement=loss: the KL that a token causes later would get"
            " no gradient; use kl/placement=both."
        ]
    if estimator == "K1" and placement == "Loss":
        return [
            "kl/estimator=k1 with kl/placement=loss: the expected gradient of k1 is zero; put it in"
            " the reward, or use k2 or k3."
        ]
    if estimator == "K1Clamped" and placement == "Loss":
        return [
            "kl/estimator=k1_clamped with kl/placement=loss: its gradient pushes every token above"
            " the reference alike, however far it is (that of the total variation, not of a KL);"
            " put it in the reward, or use k2 or k3."
        ]
    return []


def _sequence_faults(estimator: str, placement: str) -> list[str]:
    whole = f"kl/placement=sequence_loss with the estimator {estimator}"
    if placement != "SequenceLoss":
        return []
    if estimator == "K1":
        return [
            f"{whole}: its expected gradient is zero; use k2, whose gradient is that of the"
            " sequence KL."
        ]
    if estimator == "K1Clamped":
        return [
            f"{whole}: its gradient is that of the total variation, not of a KL; use k2, or put it"
            " in the reward."
        ]
    if estimator == "Exact":
        return [
            f"{whole}: it is a sum over one token's vocabulary, and a response has none; use k2, or"
            " kl/placement=both."
        ]
    return []


def _sampling_faults(
    estimator: str, controller: str, coef: float, top_k: int, top_p: float, temperature: float
) -> list[str]:
    """Any one temperature is fine: policy, old and reference log-probabilities are all taken at
    it, and so is the KL."""
    steered = controller in TARGETED  # by the log-ratios of sampled tokens, whatever the estimator
    if not steered and (estimator == "Exact" or (coef <= 0 and controller == "Fixed")):
        return []
    on = [
        *([f"generation.top_k={top_k}"] if top_k > 0 else []),
        *([f"generation.top_p={top_p}"] if top_p < 1 else []),
        *([f"generation.temperature={temperature}"] if temperature <= 0 else []),
    ]
    if not on:
        return []
    if estimator == "Exact":
        return [
            f"{' and '.join(on)} with the controller {controller}: it is steered by log-ratios of"
            " sampled tokens, which are not drawn from the policy then; turn it off (top_k=0,"
            " top_p=1), or use kl/controller=fixed."
        ]
    return [
        f"{' and '.join(on)} with the estimator {estimator}: the sampled tokens are not drawn from"
        " the policy, so their log-ratios do not estimate its KL; turn it off (top_k=0, top_p=1),"
        " or use kl/estimator=exact."
    ]


def _reference_faults(controller: str, reference: str) -> list[str]:
    if reference == "Synced" and controller in TARGETED:
        return [
            f"kl/reference=synced with the controller {controller}: the KL falls back to 0 at every"
            " copy, so no coefficient holds it at a target; use kl/controller=fixed, or"
            " kl/reference=ema or sft."
        ]
    return []

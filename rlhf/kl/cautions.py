"""The effect of the sampling settings on the reported KL: sentences for a run that is allowed, but
whose numbers need care. Torch-free.

`rules.faults` refuses what cannot work; this says which numbers of what works are something else
than the KL of the policy, and which remain right.
"""

from __future__ import annotations

RIGHT = (
    "eval/kl/plain/... is the KL of the policy itself: on responses of their own, drawn at each"
    " evaluation at temperature 1 without top-k and top-p."
)


def cautions(*, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[str]:
    """top_k = 0 and top_p = 1 mean off; none if responses are drawn from the policy itself."""
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
            " PPO's ratios are the policy's, so its gradient is biased. " + RIGHT
        )
    if temperature != 1:
        sentences.append(
            f"generation.temperature={temperature:g}: policy and reference are both taken at it."
            " Every kl/... (and `objective`) is that of the tempered policy to the tempered"
            " reference, which is what PPO penalises, not of the policy at temperature 1. " + RIGHT
        )
    return sentences

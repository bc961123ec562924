"""Where a setting usually lies. Where the numbers of a run overflow, those that lie elsewhere are
named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATE = (1e-8, 0.1)
USUAL: dict[str, tuple[float, float]] = {
    **{f"{stage}.optimizer.lr": RATE for stage in ("sft", "reward_model", "ppo")},
    **{f"{stage}.optimizer.eps": (1e-12, 0.01) for stage in ("sft", "reward_model", "ppo")},
    **{f"{stage}.optimizer.weight_decay": (0, 1) for stage in ("sft", "reward_model", "ppo")},
    **{f"{stage}.grad_clip": (1e-3, 1e3) for stage in ("sft", "reward_model", "ppo")},
    "reward_model.centering": (0, 10),
    "ppo.value_lr": RATE,
    "ppo.policy_clip": (0.01, 1),
    "ppo.value_clip": (0.01, 100),
    "ppo.value_coef": (0, 10),
    "ppo.entropy_coef": (0, 1),
    "kl.coef": (0, 10),
    "kl.controller.final": (0, 10),
    "kl.controller.start": (0, 10),
    "kl.controller.max_coef": (0, 1e3),
    "generation.temperature": (0.1, 2),
    "scorer.reward_clip": (0.1, 1e4),
    "scorer.missing_eos_value": (-1e3, 1e3),
    "trust_region.coef": (0, 100),
}

WRECKS = 2e-4  # Adam's steps of this size do away with what a model knows


def wrecking_rates(rates: Mapping[str, float]) -> list[str]:
    """A sentence for each learning rate of Adam's that is fit for a model from scratch alone.

    Args:
        rates: by dotted key, those that a pretrained model will be trained at.
    """
    return [
        f"{key}={rate:g}: a pretrained model loses what it knows at such a rate; 1e-6 to 5e-5 are"
        " usual (model=hf brings them, where an experiment or the command does not say otherwise)"
        for key, rate in rates.items()
        if rate > WRECKS
    ]


def unusual(flat: Mapping[str, Any]) -> list[str]:
    """The settings that are far from usual: `ppo.optimizer.lr=100 (usual: 1e-08 to 0.1)`.

    Args:
        flat: a config with dotted keys.
    """
    return [
        f"{key}={value:g} (usual: {low:g} to {high:g})"
        for key, (low, high) in USUAL.items()
        if isinstance(value := flat.get(key), (int, float)) and not low <= value <= high
    ]

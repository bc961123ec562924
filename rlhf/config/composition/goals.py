"""The numbers that a search compares its trials by: whether they mean the same in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.config.properties import kl_properties
from rlhf.config.schema import Config
from rlhf.metrics import OBJECTIVE


def goals_of(sweeper: Mapping[str, Any]) -> list[str]:
    """The keys of summary.json that a sweeper's settings name; none for a grid."""
    goals = sweeper.get("objectives") or sweeper.get("objective") or []
    return [goals] if isinstance(goals, str) else [str(goal) for goal in goals]


def goal_faults(sweeper: Mapping[str, Any], configs: Sequence[Config]) -> list[str]:
    """`objective` is a score less a coefficient times a KL: trials whose last coefficients can
    differ are not compared by it."""
    if OBJECTIVE not in goals_of(sweeper):
        return []
    instead = (
        "compare by reward/gold (or reward/proxy) and kl/sequence_nats, both of them, or keep the"
        " coefficient fixed"
    )
    start = f"hydra.sweeper: {OBJECTIVE} is ppo/score - kl.coef_final * kl/sequence_nats, and"
    if len({(cfg.kl.coef, repr(cfg.kl.controller)) for cfg in configs}) > 1:
        return [f"{start} this search varies kl.coef or kl.controller; {instead}"]
    followers = {
        cfg.kl.controller.name for cfg in configs if kl_properties(cfg.kl)["controller"].follows_kl
    }
    return [
        f"{start} kl/controller={name} ends each trial at a coefficient of its own; {instead}"
        for name in sorted(followers)
    ]

"""Settings that the algorithm would not read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.algorithm import NoAdvantage
from rlhf.config.pieces.trust_region import Unlimited
from rlhf.config.properties import asks, kl_properties, of_algorithm
from rlhf.config.schema import KL, PPO

SECTIONS = ("algorithm", "advantage", "kl", "trust_region", "ppo")


def unused_faults(
    algorithm: Any, advantage: Any, kl: KL, trust_region: Any, ppo: PPO
) -> Iterator[Fault]:
    """A fault for each piece that would do nothing, and where there are too few responses."""
    try:
        unused: frozenset[str] = of_algorithm(algorithm, "unused", frozenset())
        least = of_algorithm(algorithm, "least_responses", 1)
        constant = kl_properties(kl)["controller"].constant
        values = asks(advantage, "needs_values", by_default=True)
    except ValueError:  # another check says it
        return
    mine = f"algorithm={algorithm.name}"
    if "kl" in unused:
        idle = f"{mine} reads no KL coefficient; kl=none measures the KL all the same"
        if kl.coef:
            yield Fault(f"kl.coef={kl.coef:g}", idle)
        if not constant:
            yield Fault(f"kl/controller={kl.controller.name}", idle)
    none = isinstance(advantage, NoAdvantage)
    if "advantage" in unused and not (none or values):  # those that need values are refused anyway
        yield Fault(f"advantage={advantage.name}", f"{mine} reads none; leave advantage=none")
    elif none and "advantage" not in unused:
        yield Fault("advantage=none", f"{mine} learns from advantages; advantage=gae makes some")
    if "trust_region" in unused and not isinstance(trust_region, Unlimited):
        reason = f"{mine} has no old policy to keep to; leave trust_region=none"
        yield Fault(f"trust_region={trust_region.name}", reason)
    if ppo.responses_per_prompt < least:
        yield Fault(
            f"ppo.responses_per_prompt={ppo.responses_per_prompt}",
            f"{mine} compares the responses to a prompt; expected {least} or more",
        )

"""Settings that the algorithm would not read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.algorithm import NoAdvantage
from rlhf.config.pieces.trust_region import Unlimited
from rlhf.config.properties import kl_properties, of_algorithm
from rlhf.config.schema import KL, PPO, Config

# what conf/ has where nobody chooses: another value is meant to do something
USUAL: dict[str, Any] = {
    "kl.estimator": "k1",
    "kl.placement": "reward",
    "ppo.responses_per_prompt": 1,
    "ppo.entropy_coef": 0.0,
    "ppo.policy_clip": 0.2,
    "ppo.aggregation": "token_mean",
    "ppo.old_logp": "sampled",
}
REFUSED = ("ppo.responses_per_prompt", "ppo.entropy_coef")  # others are named in a caution

SECTIONS = ("algorithm", "advantage", "kl", "trust_region", "ppo")


def unused_faults(
    algorithm: Any, advantage: Any, kl: KL, trust_region: Any, ppo: PPO
) -> Iterator[Fault]:
    """A fault for each piece that would do nothing, and where there are too few responses."""
    try:
        unused: frozenset[str] = of_algorithm(algorithm, "unused", frozenset())
        least = of_algorithm(algorithm, "least_responses", 1)
        needs_coef = of_algorithm(algorithm, "needs_coef", False)
        pieces = kl_properties(kl)
    except ValueError:  # another check says it
        return
    mine = f"algorithm={algorithm.name}"
    yield from _kl_faults(mine, unused, kl, pieces)
    if needs_coef and not kl.coef:
        yield Fault(
            "kl.coef=0",
            f"{mine} learns that beta (log pi - log ref) is the reward, which at beta = 0 says"
            " nothing; expected a coefficient above 0",
        )
    none = isinstance(advantage, NoAdvantage)
    if "advantage" in unused and not none:
        yield Fault(f"advantage={advantage.name}", f"{mine} reads none; leave advantage=none")
    elif none and "advantage" not in unused:
        yield Fault("advantage=none", f"{mine} learns from advantages; advantage=gae makes some")
    if "trust_region" in unused and not isinstance(trust_region, Unlimited):
        reason = f"{mine} has no old policy to keep to; leave trust_region=none"
        yield Fault(f"trust_region={trust_region.name}", reason)
    for key in (key for key in REFUSED if key in unused):
        value, usual = getattr(ppo, key.partition(".")[2]), USUAL[key]
        if value != usual:
            yield Fault(f"{key}={value:g}", f"{mine} does not read it; leave it at {usual:g}")
    if ppo.responses_per_prompt < least:
        yield Fault(
            f"ppo.responses_per_prompt={ppo.responses_per_prompt}",
            f"{mine} compares the responses to a prompt; expected {least} or more",
        )


def _kl_faults(
    mine: str, unused: frozenset[str], kl: KL, pieces: dict[str, Any]
) -> Iterator[Fault]:
    if "kl" in unused:
        idle = f"{mine} reads no KL coefficient; kl=none measures the KL all the same"
        if kl.coef:
            yield Fault(f"kl.coef={kl.coef:g}", idle)
        if not pieces["controller"].constant:
            yield Fault(f"kl/controller={kl.controller.name}", idle)
        if pieces["reference"].moves:
            reason = f"{mine} is held to no reference; leave kl/reference=sft"
            yield Fault(f"kl/reference={kl.reference.name}", reason)
    if "kl.controller" in unused and not pieces["controller"].constant:
        reason = f"{mine} keeps to kl.coef as it is; take kl/controller=fixed"
        yield Fault(f"kl/controller={kl.controller.name}", reason)
    if "kl.path" in unused and pieces["controller"].walks:
        reason = f"{mine} weighs KL against likelihood, and the points of a path end by the reward"
        yield Fault(f"kl/controller={kl.controller.name}", f"{reason}; take kl/controller=fixed")
    if "kl.reference" in unused and pieces["reference"].moves:
        reason = f"{mine} is held to the policy that it began with; take kl/reference=sft"
        yield Fault(f"kl/reference={kl.reference.name}", reason)


def unused_cautions(cfg: Config) -> list[str]:
    """A sentence that names the settings that were chosen and that the algorithm does not read."""
    unused: frozenset[str] = of_algorithm(cfg.algorithm, "unused", frozenset())
    idle = []
    for key in (key for key in USUAL if key in unused and key not in REFUSED):
        section, _, name = key.partition(".")
        value = getattr(getattr(cfg, section), name)
        named = getattr(value, "name", value)
        if named != USUAL[key]:
            idle.append(f"{'kl/' + name if section == 'kl' else key}={named}")
    if not idle:
        return []
    return [f"algorithm={cfg.algorithm.name} does not read {', '.join(idle)}"]

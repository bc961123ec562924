"""Algorithm, advantage and conf/ppo: what the one needs and the others do not give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.algorithm import PolicyGradient
from rlhf.config.properties import asks, of_algorithm, trains_values
from rlhf.config.schema import PPO

SECTIONS = ("algorithm", "advantage", "ppo")


def faults(algorithm: Any, advantage: Any, ppo: PPO) -> Iterator[Fault]:
    try:
        wanted = asks(advantage, "needs_values", by_default=True)
        trained = trains_values(algorithm, advantage)
        read = "advantage" not in of_algorithm(algorithm, "unused", frozenset())
        grouped = asks(advantage, "needs_groups", by_default=False)
    except ValueError:  # `missing_parts` says it
        return
    if wanted and read and not trained:
        reason = (
            f"needs a value model, and algorithm={algorithm.name} trains none;"
            " advantage=reinforce, rloo and grpo need none"
        )
        yield Fault(f"advantage={advantage.name}", reason)
    elif ppo.critic_warmup and not trained:
        reason = "there is no value model to train; set it to 0"
        yield Fault(f"ppo.critic_warmup={ppo.critic_warmup}", reason)
    if grouped and read and ppo.responses_per_prompt < 2:
        yield Fault(
            f"ppo.responses_per_prompt={ppo.responses_per_prompt}",
            f"advantage={advantage.name} compares the responses to one prompt with each other:"
            " ppo.responses_per_prompt must be 2 or more",
        )
    if ppo.value_lr is not None and not getattr(algorithm, "needs_values", True):
        yield Fault(
            f"ppo.value_lr={ppo.value_lr:g}",
            f"algorithm={algorithm.name} trains no value model; set it to null",
        )
    if isinstance(algorithm, PolicyGradient):
        yield from _policy_gradient(algorithm, ppo)


def _policy_gradient(algorithm: PolicyGradient, ppo: PPO) -> Iterator[Fault]:
    if algorithm.one_pass and ppo.inner_epochs > 1:
        yield Fault(
            f"ppo.inner_epochs={ppo.inner_epochs}",
            "with algorithm.ratio=none nothing corrects for responses that an older policy drew;"
            " take ppo.inner_epochs=1 or algorithm.ratio=clipped",
        )
    if algorithm.one_pass and algorithm.clip_high is not None:
        yield Fault(
            f"algorithm.clip_high={algorithm.clip_high:g}",
            "there is no ratio to clip with algorithm.ratio=none; take algorithm.ratio=clipped",
        )

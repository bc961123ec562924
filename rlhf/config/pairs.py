"""Settings that cannot work together although each is right by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.data import JsonLines
from rlhf.config.pieces.kl import Bounded
from rlhf.config.pieces.model import TinyModel
from rlhf.config.pieces.tracking import MLflowTracker
from rlhf.config.properties import asks, kl_properties, needs_reward_model, trains_values
from rlhf.config.schema import KL, PPO, Generation
from rlhf.kl import rules


def _kl(kl: KL, generation: Generation) -> Iterator[Fault]:
    try:
        properties = kl_properties(kl)
    except ValueError as error:
        yield Fault("", str(error))
        return
    bounds = None
    if isinstance(kl.controller, Bounded):
        bounds = (kl.controller.min_coef, kl.controller.max_coef)
        if bounds[0] > bounds[1]:
            yield Fault(
                f"kl.controller.min_coef={bounds[0]}",
                f"is above kl.controller.max_coef={bounds[1]}",
            )
            bounds = None
    for reason in rules.faults(
        **properties,
        coef=kl.coef,
        top_k=generation.top_k,
        top_p=generation.top_p,
        temperature=generation.temperature,
        bounds=bounds,
    ):
        yield Fault("", reason)


def _split(small: str, part: int, large: str, whole: int) -> Iterator[Fault]:
    if whole % part:
        below = max(n for n in range(1, whole + 1) if whole % n == 0 and n <= part)
        yield Fault(f"{small}={part}", f"does not divide {large}={whole}; {below} does")


def _batches(ppo: PPO) -> Iterator[Fault]:
    yield from _split(
        "ppo.minibatch_size", ppo.minibatch_size, "ppo.rollout_size", ppo.rollout_size
    )
    if ppo.micro_batch_size is not None:
        yield from _split(
            "ppo.micro_batch_size", ppo.micro_batch_size, "ppo.minibatch_size", ppo.minibatch_size
        )
    if ppo.critic_warmup >= ppo.iterations:
        yield Fault(
            f"ppo.critic_warmup={ppo.critic_warmup}",
            f"leaves none of ppo.iterations={ppo.iterations} to train the policy",
        )


def _model(model: Any) -> Iterator[Fault]:
    if not isinstance(model, TinyModel):
        return
    if model.hidden_size % model.heads:
        yield Fault(
            f"model.heads={model.heads}", f"does not divide model.hidden_size={model.hidden_size}"
        )
    elif model.architecture == "llama" and (model.hidden_size // model.heads) % 2:
        yield Fault(
            f"model.heads={model.heads}",
            f"a llama head needs an even size; here it is {model.hidden_size // model.heads}",
        )


def _missing_eos(scorer: Any) -> Iterator[Fault]:
    if getattr(scorer, "missing_eos", "none") != "none" and scorer.missing_eos_value is None:
        yield Fault(
            "scorer.missing_eos_value=null",
            f"scorer.missing_eos={scorer.missing_eos} needs a number",
        )


def _values(algorithm: Any, advantage: Any, ppo: PPO) -> Iterator[Fault]:
    try:
        wanted = asks(advantage, "needs_values", by_default=True)
        trained = trains_values(algorithm, advantage)
    except ValueError:  # `_rewards` says it
        return
    if wanted and not trained:
        reason = f"needs a value model, and algorithm={algorithm.name} trains none"
        yield Fault(f"advantage={advantage.name}", reason)
    elif ppo.critic_warmup and not trained:
        reason = "there is no value model to train; set it to 0"
        yield Fault(f"ppo.critic_warmup={ppo.critic_warmup}", reason)


def _rewards(
    data: Any, scorer: Any, stage: str, ppo: PPO, algorithm: Any, advantage: Any
) -> Iterator[Fault]:
    try:
        by_gold = asks(scorer, "needs_gold", by_default=False)
        reads_model = needs_reward_model(scorer, ppo, algorithm, advantage)
    except ValueError as error:
        yield Fault("", str(error))
        return
    if not isinstance(data, JsonLines) or data.gold is not None:
        return
    if stage == "ppo" and by_gold:
        yield Fault(
            f"scorer={scorer.name}",
            "the data has no gold reward; set data.gold=vader, or take scorer=reward_model",
        )
    if data.preferences is None and (stage == "reward_model" or (stage == "ppo" and reads_model)):
        yield Fault(
            "data.preferences=null",
            "pairs would be sampled and labelled by gold, but data.gold=null; name a file, or set"
            " data.gold=vader",
        )


def _tracking(tracking: Any) -> Iterator[Fault]:
    if isinstance(tracking, MLflowTracker):
        from rlhf.tracking.store import absolute_uri

        try:
            absolute_uri(tracking.uri)
        except ValueError as error:
            yield Fault("", str(error))


# Each check with the sections that it reads.
PAIRS: tuple[tuple[Callable[..., Iterator[Fault]], tuple[str, ...]], ...] = (
    (_kl, ("kl", "generation")),
    (_batches, ("ppo",)),
    (_model, ("model",)),
    (_missing_eos, ("scorer",)),
    (_values, ("algorithm", "advantage", "ppo")),
    (_rewards, ("data", "scorer", "stage", "ppo", "algorithm", "advantage")),
    (_tracking, ("tracking",)),
)

"""Settings that cannot work together although each is right by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.data import JsonLines
from rlhf.config.pieces.kl import PID, Adaptive, AdaptiveAlpacaFarm, Bounded
from rlhf.config.pieces.model import TinyModel
from rlhf.config.pieces.tracking import MLflowTracker
from rlhf.config.properties import asks, kl_properties, needs_reward_model, trains_values
from rlhf.config.schema import KL, PPO, Generation
from rlhf.kl import rules
from rlhf.kl.controller import MAX_GAIN


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
        bounds=bounds,
    ):
        yield Fault("", reason)


def _steps(kl: KL, ppo: PPO) -> Iterator[Fault]:
    """The arguments that controllers themselves refuse, when they are made or take a step."""
    to_zero = "one step could bring the coefficient to 0"
    match kl.controller:
        case Adaptive(horizon=horizon) if ppo.rollout_size >= MAX_GAIN * horizon:
            reason = f"is not above ppo.rollout_size={ppo.rollout_size} / {MAX_GAIN:g}: {to_zero}"
            yield Fault(f"kl.controller.horizon={horizon:g}", reason)
        case AdaptiveAlpacaFarm(k_beta=gain) if gain >= MAX_GAIN:
            yield Fault(f"kl.controller.k_beta={gain:g}", f"is not below {MAX_GAIN:g}: {to_zero}")
        case PID(kp=0, ki=0, kd=0):
            reason = "ki and kd are 0 too: the coefficient would never move"
            yield Fault("kl.controller.kp=0", reason)


def _batches(ppo: PPO) -> Iterator[Fault]:
    sizes = ("micro_batch_size", "minibatch_size", "rollout_size")
    for small, large in reversed([*pairwise(sizes)]):
        part, whole = getattr(ppo, small), getattr(ppo, large)
        if part is not None and whole % part:
            below = next(n for n in range(min(part, whole), 0, -1) if whole % n == 0)
            yield Fault(f"ppo.{small}={part}", f"does not divide ppo.{large}={whole}; {below} does")
    if ppo.critic_warmup >= ppo.iterations:
        yield Fault(
            f"ppo.critic_warmup={ppo.critic_warmup}",
            f"leaves none of ppo.iterations={ppo.iterations} to train the policy",
        )


def _model(model: Any) -> Iterator[Fault]:
    if not isinstance(model, TinyModel):
        return
    where, (head_size, rest) = f"model.heads={model.heads}", divmod(model.hidden_size, model.heads)
    if rest:
        yield Fault(where, f"does not divide model.hidden_size={model.hidden_size}")
    elif model.architecture == "llama" and head_size % 2:
        yield Fault(where, f"a llama head needs an even size; here it is {head_size}")


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
    (_steps, ("kl", "ppo")),
    (_batches, ("ppo",)),
    (_model, ("model",)),
    (_missing_eos, ("scorer",)),
    (_values, ("algorithm", "advantage", "ppo")),
    (_rewards, ("data", "scorer", "stage", "ppo", "algorithm", "advantage")),
    (_tracking, ("tracking",)),
)

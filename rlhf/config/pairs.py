"""Settings that cannot work together although each is right by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from rlhf.config.build import build
from rlhf.config.checks import (
    adapter,
    algorithm,
    annotator,
    memory,
    realign,
    tracking,
    win_rate,
)
from rlhf.config.checks.parts import SECTIONS, missing_parts
from rlhf.config.checks.path import SECTIONS as WALKED, path_faults
from rlhf.config.checks.ranks import SECTIONS as SHARED, ranks_faults
from rlhf.config.checks.unused import SECTIONS as READ, unused_faults
from rlhf.config.composition.judged.rewards import scorer_faults
from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.base import Custom
from rlhf.config.pieces.data import Files
from rlhf.config.pieces.kl import Bounded, Path
from rlhf.config.pieces.model import TinyModel
from rlhf.config.pieces.optimizer import SGD as SGDOptimizer, AdamW, AdamW8bit
from rlhf.config.properties import controller_arguments, kl_properties
from rlhf.config.schema import KL, PPO, SFT, Generation, RewardModel
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
        bounds=bounds,
    ):
        yield Fault("", reason)


def _controller(kl: KL, generation: Generation, ppo: PPO) -> Iterator[Fault]:
    """The arguments that a controller itself refuses, when it is made or takes a step: it is made
    and asked, as no controller needs torch. A fault that a rule has words for is not told twice."""
    if next(_kl(kl, generation), None):
        return
    for controller in _made(kl.controller, "kl/controller", **controller_arguments(kl, ppo)):
        if isinstance(controller, Fault):
            yield controller
            return
        try:
            getattr(controller, "check_episodes", lambda episodes: None)(ppo.rollout_size)
        except ValueError as error:
            reason = f"{error} (episodes: ppo.rollout_size)"
            yield Fault(f"kl/controller={kl.controller.name}", reason)


def _own(kl: KL, trust_region: Any, advantage: Any) -> Iterator[Fault]:
    """The arguments that small pieces of the user's own refuse. Those of ours are judged by their
    schema, without torch."""
    pieces = {
        "kl/estimator": kl.estimator,
        "kl/placement": kl.placement,
        "kl/reference": kl.reference,
        "trust_region": trust_region,
        "advantage": advantage,
    }
    for group, piece in pieces.items():
        if isinstance(piece, Custom):
            yield from (made for made in _made(piece, group) if isinstance(made, Fault))


def _made(piece: Any, group: str, **live: Any) -> Iterator[Any]:
    """The piece's object, or the fault that its constructor found."""
    try:
        yield build(piece, **live)
    except Exception as error:  # a class of the user's own may raise anything
        yield Fault(f"{group}={piece.name or piece.class_path}", str(error) or repr(error))


SEARCHED = 2**16  # candidates that are tried for a hint


def divisor_below(whole: int, part: int) -> int | None:
    """The largest divisor of `whole` that is at most `part`; None where the search would be long.
    A divisor d has a partner whole / d: the smaller of the two is at most the root of `whole`."""
    if whole <= part:
        return whole
    small = math.isqrt(whole)
    if min(small, part) > SEARCHED:
        return None
    partners = (whole // n for n in range(-(-whole // part), small + 1) if whole % n == 0)
    below = (n for n in range(min(small, part), 0, -1) if whole % n == 0)
    return next(partners, None) or next(below)


def _batches(ppo: PPO) -> Iterator[Fault]:
    sizes = ("micro_batch_size", "minibatch_size", "rollout_size")
    for small, large in reversed([*pairwise(sizes)]):
        part, whole = getattr(ppo, small), getattr(ppo, large)
        if part is not None and whole % part:
            near = divisor_below(whole, part)
            hint = f"; {near} does" if near else ""
            yield Fault(f"ppo.{small}={part}", f"does not divide ppo.{large}={whole}{hint}")
    each, whole = ppo.responses_per_prompt, ppo.rollout_size
    if whole % each:
        near = divisor_below(whole, each)
        hint = f"; {near} does" if near else ""
        yield Fault(
            f"ppo.responses_per_prompt={each}", f"does not divide ppo.rollout_size={whole}{hint}"
        )


def _warmup(kl: KL, ppo: PPO) -> Iterator[Fault]:
    """Of a path the iterations of the warm-up count for no point."""
    if ppo.critic_warmup >= ppo.iterations and not isinstance(kl.controller, Path):
        yield Fault(
            f"ppo.critic_warmup={ppo.critic_warmup}",
            f"leaves none of ppo.iterations={ppo.iterations} to train the policy",
        )


DECAYS = (AdamW, AdamW8bit, SGDOptimizer)


def _decay(sft: SFT, reward_model: RewardModel, ppo: PPO) -> Iterator[Fault]:
    """Decay takes the share lr * weight_decay of a weight with each step."""
    for stage, settings in (("sft", sft), ("reward_model", reward_model), ("ppo", ppo)):
        piece = settings.optimizer
        if isinstance(piece, DECAYS) and piece.lr * piece.weight_decay >= 1:
            yield Fault(
                f"{stage}.optimizer.weight_decay={piece.weight_decay:g}",
                f"with {stage}.optimizer.lr={piece.lr:g} each step would take all of a weight away;"
                f" lr * weight_decay must be below 1",
            )


def _model(model: Any) -> Iterator[Fault]:
    if not isinstance(model, TinyModel):
        return
    where, (head_size, rest) = f"model.heads={model.heads}", divmod(model.hidden_size, model.heads)
    if rest:
        yield Fault(where, f"does not divide model.hidden_size={model.hidden_size}")
    elif model.architecture == "llama" and head_size % 2:
        yield Fault(where, f"a llama head needs an even size; here it is {head_size}")


def _rows(data: Any) -> Iterator[Fault]:
    if isinstance(data, Files) and not (data.demonstrations or data.preferences or data.prompts):
        reason = "no rows: name a file in it, in data.preferences or in data.prompts"
        yield Fault("data.demonstrations=null", reason)


Check = Callable[..., Iterator[Fault]]

# Each check with the sections that it reads.
PAIRS: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (_kl, ("kl", "generation")),
    (_controller, ("kl", "generation", "ppo")),
    (_own, ("kl", "trust_region", "advantage")),
    (_batches, ("ppo",)),
    (_warmup, ("kl", "ppo")),
    (path_faults, WALKED),
    (ranks_faults, SHARED),
    (memory.faults, memory.SECTIONS),
    (_decay, ("sft", "reward_model", "ppo")),
    (_model, ("model",)),
    (scorer_faults, ("scorer",)),
    (algorithm.faults, algorithm.SECTIONS),
    (unused_faults, READ),
    (_rows, ("data",)),
    (missing_parts, SECTIONS),
    (adapter.adapter_faults, adapter.SECTIONS),
    (realign.faults, realign.SECTIONS),
    (annotator.faults, annotator.SECTIONS),
    (win_rate.faults, win_rate.SECTIONS),
    (tracking.faults, tracking.SECTIONS),
)

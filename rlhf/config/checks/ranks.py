"""Sizes that the processes of a run cannot share evenly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.properties import needs_reward_model, of_algorithm
from rlhf.config.schema import PPO, SFT, Evaluation, RewardModel, Trainer

SECTIONS = (
    *("trainer", "stage", "sft", "reward_model", "ppo", "evaluation"),
    *("scorer", "algorithm", "advantage"),
)


def ranks_faults(
    trainer: Trainer,
    stage: Any,
    sft: SFT,
    reward_model: RewardModel,
    ppo: PPO,
    evaluation: Evaluation,
    scorer: Any,
    algorithm: Any,
    advantage: Any,
) -> Iterator[Fault]:
    """Each batch is divided by rows, and a process without a row has nothing to compute."""
    size = trainer.ranks
    if trainer.strategy == "single" and size > 1:
        key = "devices" if trainer.devices > 1 else "num_nodes"
        yield Fault(
            f"trainer.{key}={getattr(trainer, key)}",
            "trainer.strategy=single trains on one; trainer.strategy=ddp trains on several",
        )
        return
    if trainer.strategy == "fsdp":
        yield from _sharded_faults(trainer)
        if stage == "ppo" and (reason := _not_in_parts(algorithm)):
            yield Fault("trainer.strategy=fsdp", reason)
    sizes = {}
    if sft.path is None and sft.train:
        sizes["sft.batch_size"] = sft.batch_size
    judged = stage != "sft" and reward_model.path is None
    if judged and (stage != "ppo" or _needed(scorer, ppo, algorithm, advantage)):
        sizes["reward_model.batch_size"] = reward_model.batch_size
    if stage == "ppo":
        sizes["ppo.rollout_size"] = ppo.rollout_size
        sizes["ppo.minibatch_size"] = ppo.minibatch_size
        sizes["evaluation.prompts"] = evaluation.prompts
    for key, rows in sizes.items():
        if rows % size:
            near = max(size, rows - rows % size)
            yield Fault(
                f"{key}={rows}",
                f"does not divide by the {size} processes of trainer.devices={trainer.devices}"
                f"{f' and trainer.num_nodes={trainer.num_nodes}' if trainer.num_nodes > 1 else ''};"
                f" {near} does",
            )


def _needed(scorer: Any, ppo: PPO, algorithm: Any, advantage: Any) -> bool:
    try:
        return needs_reward_model(scorer, ppo, algorithm, advantage)
    except ValueError:  # a class that cannot be had, which is said elsewhere
        return False


def _not_in_parts(algorithm: Any) -> str:
    try:
        return of_algorithm(algorithm, "not_in_parts", "")
    except ValueError:  # as above
        return ""


def _sharded_faults(trainer: Trainer) -> Iterator[Fault]:
    if trainer.ranks == 1:
        yield Fault(
            "trainer.strategy=fsdp",
            "one process has every part: expected trainer.devices=2 or more;"
            " trainer.strategy=single trains on one",
        )
    if trainer.precision not in ("32-true", "bf16-mixed"):
        yield Fault(
            f"trainer.precision={trainer.precision}",
            "has not been tried with trainer.strategy=fsdp, whose bf16-mixed keeps float32 weights"
            " in parts and reads them in bfloat16; expected bf16-mixed or 32-true",
        )

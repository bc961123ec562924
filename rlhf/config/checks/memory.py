"""Settings of memory that cannot be had together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.optimizer import AdamW8bit
from rlhf.config.schema import PPO, SFT, Generation, RewardModel, Trainer

SECTIONS = ("sft", "reward_model", "ppo", "generation", "model", "trainer")
FLASH = "flash_attention_2"


def faults(
    sft: SFT,
    reward_model: RewardModel,
    ppo: PPO,
    generation: Generation,
    model: Any,
    trainer: Trainer,
) -> Iterator[Fault]:
    """Two limits of one micro-batch, and what only a GPU can do."""
    stages = {"sft": sft, "reward_model": reward_model, "ppo": ppo}
    limited: dict[str, Any] = {**stages, "generation": generation}
    for name, settings in limited.items():
        yield from _two_limits(name, settings.micro_batch_size, settings.micro_batch_tokens)
    if getattr(model, "attention", "auto") == FLASH:
        yield from _flash(trainer)
    if trainer.accelerator != "cuda":
        for name, stage in stages.items():
            if isinstance(stage.optimizer, AdamW8bit):
                reason = f"works on a GPU: trainer=gpu, or optimizer@{name}.optimizer=adamw"
                yield Fault(f"{name}.optimizer=adamw_8bit", reason)
    elif trainer.strategy == "fsdp":
        for name, stage in stages.items():
            if isinstance(stage.optimizer, AdamW8bit):
                reason = f"has no parts for trainer.strategy=fsdp: optimizer@{name}.optimizer=adamw"
                yield Fault(f"{name}.optimizer=adamw_8bit", reason)


def _two_limits(name: str, size: int | None, tokens: int | None) -> Iterator[Fault]:
    if size is not None and tokens is not None:
        yield Fault(
            f"{name}.micro_batch_tokens={tokens}",
            "a micro-batch is limited by its rows or by its tokens: set"
            f" {name}.micro_batch_size=null (it is {size}), or this one to null",
        )


def _flash(trainer: Trainer) -> Iterator[Fault]:
    where = f"model.attention={FLASH}"
    if trainer.accelerator != "cuda":
        yield Fault(where, "works on a GPU: trainer=gpu, or model.attention=sdpa")
    elif trainer.precision == "32-true":
        reason = "computes in 16 bits: trainer.precision=bf16-mixed, or model.attention=sdpa"
        yield Fault(where, reason)

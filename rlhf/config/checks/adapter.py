"""What adapters need of the other settings, and what they make impossible. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from rlhf.config.composition.resolve import Fault
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.properties import (
    is_trained,
    kl_properties,
    reward_model_shares,
    trains_values,
)

SECTIONS = (
    *("adapter", "model", "trainer", "sft", "reward_model"),
    *("kl", "ppo", "algorithm", "advantage"),
)
STAGES = ("sft", "reward_model")
NARROW = (
    "weights of 16 bits lose the small steps of training; trainer.precision=bf16-mixed computes in"
    " 16 bits and keeps them in 32"
)


def adapter_faults(**sections: Any) -> Iterator[Fault]:
    """A fault for each setting that cannot work with the run's adapter, or without one."""
    cfg: Any = SimpleNamespace(**sections)
    if not cfg.adapter.is_used:
        yield from _without(cfg)
        return
    yield from _heads(cfg)
    yield from _narrow(cfg)
    try:
        reference = kl_properties(cfg.kl)["reference"]
        values = trains_values(cfg.algorithm, cfg.advantage)
    except ValueError:  # other checks say it
        return
    if reference.averages:
        yield Fault(
            f"kl/reference={reference.name}",
            "averages a policy's weights, and an adapter adds a product B A to each: the mean of B"
            " times the mean of A is not the mean of B A; with"
            f" model/adapter={cfg.adapter.kind} use kl/reference=synced or sft",
        )
    if values:
        yield from _values(cfg)


def _without(cfg: Any) -> Iterator[Fault]:
    if cfg.adapter.sharing == "backbone":
        yield Fault(
            "adapter.sharing=backbone",
            "there is no adapter by which roles on one network would differ; choose"
            " model/adapter=lora or head, or model/sharing=separate",
        )
    for stage in STAGES:
        if getattr(cfg, stage).trained == ADAPTER:
            yield Fault(
                f"{stage}.trained=adapter",
                f"there is no adapter to train; choose model/adapter=lora, or {stage}.trained=all",
            )
    if _is_narrow(cfg.model):
        yield Fault(
            f"model.dtype={cfg.model.dtype}",
            f"expected float32: {NARROW}; model/adapter=lora trains adapters of 32 bits beside it",
        )


def _heads(cfg: Any) -> Iterator[Fault]:
    if cfg.adapter.kind == "head" and cfg.reward_model.trained == ADAPTER:
        yield Fault(
            "reward_model.trained=adapter",
            "model/adapter=head trains a reward model's head alone; choose model/adapter=lora, or"
            " reward_model.trained=head",
        )


def _narrow(cfg: Any) -> Iterator[Fault]:
    """What is trained of the network itself has 32 bits; weights of 4 bits need a GPU."""
    if cfg.trainer.precision == "bf16-true":
        yield Fault(
            "trainer.precision=bf16-true",
            f"rounds weights that are trained, and with model/adapter={cfg.adapter.kind} the"
            " network is frozen: write model.dtype=bfloat16 (of model=hf), and"
            " trainer.precision=32-true or bf16-mixed",
        )
    if _kind(cfg.model) == "4bit" and cfg.trainer.accelerator != "cuda":
        yield Fault("model.dtype=4bit", "needs an NVIDIA GPU: trainer=gpu, or model.dtype=bfloat16")
    if _kind(cfg.model) == "4bit" and cfg.trainer.strategy == "fsdp":
        yield Fault(
            "model.dtype=4bit",
            "weights of 4 bits are not divided by trainer.strategy=fsdp; trainer.strategy=ddp, or"
            " model.dtype=bfloat16",
        )
    for stage in STAGES if _is_narrow(cfg.model) else ():
        part = getattr(cfg, stage).trained
        beside = part == ADAPTER or (part == "head" and cfg.adapter.kind == "head")
        if is_trained(cfg, stage) and not beside:
            yield Fault(
                f"model.dtype={cfg.model.dtype}",
                f"{stage}.trained={part} trains the network's own weights, and {NARROW}; set"
                f" model.dtype=float32, or {stage}.trained=adapter",
            )


def _is_narrow(model: Any) -> bool:
    return _kind(model) in ("bfloat16", "4bit")


def _kind(model: Any) -> Any:
    return getattr(model, "dtype", None)


def _values(cfg: Any) -> Iterator[Fault]:
    """A value model on the shared network begins as another view of it. Of a reward model that is
    given by its path, its folder tells (rlhf.stages.adapted)."""
    if (
        cfg.ppo.value_init == "policy"
        or not cfg.adapter.shares
        or cfg.reward_model.path is not None
    ):
        return
    if not reward_model_shares(cfg):
        yield Fault(f"ppo.value_init={cfg.ppo.value_init}", OWN_NETWORK)


OWN_NETWORK = (
    "the reward model has a network of its own, and with model/sharing=backbone the value model"
    " stands on the policy's; choose ppo.value_init=policy, or model/sharing=separate, or a reward"
    " model that is trained on the same network (reward_model.trained=adapter"
    " reward_model.init=sft)"
)

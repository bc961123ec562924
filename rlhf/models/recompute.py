"""Gradient checkpointing: a layer keeps its input alone, and its backward pass computes the rest
again (Chen et al. 2016, arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf.models.load import outline
from rlhf.rundir.errors import ModelError

SETTING = "trainer.gradient_checkpointing=true"


@contextmanager
def recomputed(*models: nn.Module) -> Iterator[None]:
    """Forward passes inside keep the inputs of the layers alone; the backward passes of these may
    come later. Everything stays in eval mode, so no dropout begins.

    A model whose layers belong to another (`network`) may say with `checkpoint_context_fn` what a
    layer needs around it when it is computed again.

    Raises:
        ModelError: a model has no layers that can be.
    """
    with ExitStack() as stack:
        for model in models:
            again = getattr(model, "checkpoint_context_fn", None)
            for layer in _layers(model):
                stack.enter_context(_switched_on(layer, again))
        yield


@contextmanager
def _switched_on(layer: Any, context_fn: Callable[[], Any] | None) -> Iterator[None]:
    given: dict[str, Any] = {} if context_fn is None else {"context_fn": context_fn}

    def compute(forward: partial[Any], *inputs: Any) -> Any:
        layer.training = False  # transformers asks for it before; a layer's own dropout would too
        try:
            return checkpoint(
                forward, *inputs, use_reentrant=False, preserve_rng_state=False, **given
            )
        finally:
            layer.training = True

    before = {name: value for name in _SWITCHES if (value := vars(layer).get(name)) is not None}
    layer.gradient_checkpointing, layer.training = True, True
    layer._gradient_checkpointing_func = compute
    try:
        yield
    finally:
        for name in _SWITCHES:
            vars(layer).pop(name, None)
        vars(layer).update(before)


_SWITCHES = ("gradient_checkpointing", "training", "_gradient_checkpointing_func")


def _layers(model: nn.Module) -> list[nn.Module]:
    network = getattr(model, "network", model)
    every = network.modules()
    layers: list[nn.Module] = [m for m in every if isinstance(m, GradientCheckpointingLayer)]
    if not layers:
        raise ModelError([_refusal(type(network).__name__)])
    return layers


def _refusal(kind: str) -> str:
    return (
        f"{SETTING}: a {kind} has no layers that can be computed again; set it to false, and"
        " micro_batch_size or micro_batch_tokens lower"
    )


def recompute_faults(config: PreTrainedConfig | None) -> list[str]:
    """A sentence where models of this configuration have no such layers, as far as it tells."""
    model = None if config is None else outline(config)
    if model is None:
        return []
    try:
        _layers(model)
    except ModelError as error:
        return error.faults
    return []

"""Training a part of a network: its head, or its last layers; what lies below them stays as it
was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf.arguments import layers_of
from rlhf.rundir.errors import ModelError


def layer_count(config: Any) -> int | None:
    """The layers of a model of this configuration; None where it does not tell."""
    text = None if config is None else config.get_text_config()
    count = getattr(text, "num_hidden_layers", None)
    return count if isinstance(count, int) else None


def part_faults(stage: str, part: str, layers: int | None) -> list[str]:
    """A sentence where `<stage>.trained` asks for more layers than there are."""
    wanted = layers_of(part)
    if layers is None or wanted is None or wanted <= layers:
        return []
    return [
        f"{stage}.trained={part}: the model has {layers} layers; last:{layers} trains all of them"
        " but not the embedding, all trains everything"
    ]


def layers(model: PreTrainedModel) -> nn.ModuleList:
    """The layers that the hidden states go through, one after the other.

    Raises:
        ModelError: the model has no list of as many modules as its configuration has layers.
    """
    count = layer_count(model.config)
    lists = (m for m in model.base_model.modules() if isinstance(m, nn.ModuleList))
    for candidate in lists:
        if len(candidate) == count:
            return candidate
    raise ModelError(
        [f"no list of {count} layers was found in a {type(model).__name__}: set trained=all"]
    )


def train_only(model: PreTrainedModel, part: str) -> PreTrainedModel:
    """The model, its gradients switched off but for a part: `all`, `head` (what is not the
    backbone's) or `last:N` (the head, the last N layers, and what the backbone has behind them: its
    final norm). An embedding that is the head as well stays as it is.

    Raises:
        ModelError: there are fewer than N layers.
    """
    count = layers_of(part)
    if count is None:
        return model
    backbone = {id(p) for p in model.base_model.parameters()}
    trained = {id(p) for p in model.parameters()} - backbone
    if count:
        stack = layers(model)
        if count > len(stack):
            raise ModelError([f"trained={part}: the model has {len(stack)} layers"])
        trained |= {id(p) for layer in stack[-count:] for p in layer.parameters()}
        trained |= {id(p) for p in _behind(model, stack)}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in trained)
    return model


def _behind(model: PreTrainedModel, stack: nn.ModuleList) -> Iterable[nn.Parameter]:
    """The backbone's parameters that the states meet after the last layer, wherever they are
    registered: those of which the states depend when the last layer's input is held fixed."""
    inside = {id(p) for p in stack.parameters()}
    outside = [p for p in model.base_model.parameters() if id(p) not in inside]
    hook = stack[-1].register_forward_pre_hook(_detached, with_kwargs=True)
    try:
        with torch.enable_grad():
            ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
            states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            gradients = torch.autograd.grad(states.sum(), outside, allow_unused=True)
    finally:
        hook.remove()
    return [p for p, g in zip(outside, gradients, strict=True) if g is not None]


def _detached(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    def held(value: Any) -> Any:
        return value.detach() if isinstance(value, Tensor) else value

    return tuple(map(held, arguments)), {name: held(value) for name, value in named.items()}

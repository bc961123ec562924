"""The layers of a network that get an adapter, by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf.rundir.errors import ModelError

ALL_LINEAR, DEFAULT = "all-linear", "default"


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Name -> layer of a network's linear layers, its head (of a causal LM, or a classifier's) left
    out; the same with adapters in it as before."""
    heads = (model.get_output_embeddings(), getattr(model, "score", None))
    return {
        name: layer
        for name, layer in _plain(model, "")
        if isinstance(layer, (nn.Linear, Conv1D)) and not any(layer is head for head in heads)
    }


def _plain(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name, each layer that has adapters as the layer that it was."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(module, BaseTunerLayer):
        yield name, module.get_base_layer()
        return
    yield name, module
    for child, inner in module.named_children():
        yield from _plain(inner, f"{name}.{child}" if name else child)


def chosen_layers(
    model: PreTrainedModel, targets: str | Sequence[str], *, key: str = "adapter.targets"
) -> list[str]:
    """The whole names of the layers that `targets` means, sorted: `all-linear` (every linear layer
    but the head), `default` (PEFT's choice for the architecture), the ends of names, each of which
    must be one of a linear layer, or a regular expression of whole names.

    Args:
        key: where `targets` stands, for messages.

    Raises:
        ModelError: there are none.
    """
    there = linear_layers(model)
    if targets == ALL_LINEAR:
        chosen = set(there)
        if not chosen:
            raise ModelError([f"{_kind(model)} has no linear layer beside its head"])
        return sorted(chosen)
    wanted = _defaults(model, there) if targets == DEFAULT else targets
    if isinstance(wanted, str):  # PEFT has a regular expression for a few architectures
        chosen = {name for name in there if re.fullmatch(wanted, name)}
        if not chosen:
            raise ModelError([_nothing(model, wanted, there, key)])
        return sorted(chosen)
    for end in wanted:
        if not any(_ends(name, end) for name in there):
            raise ModelError([_nothing(model, end, there, key)])
    return sorted(name for name in there if any(_ends(name, end) for end in wanted))


def short_names(model: PreTrainedModel, chosen: Collection[str]) -> list[str]:
    """The last parts of the names of `chosen` layers, sorted, such as k_proj, q_proj, by which PEFT
    finds the same layers; their whole names where others end so as well."""
    short = sorted({name.rpartition(".")[2] for name in chosen})
    meant = {
        name
        for name, _ in model.named_modules()
        if ".base_layer" not in name and any(_ends(name, end) for end in short)
    }
    return short if meant == set(chosen) else sorted(chosen)


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _defaults(model: PreTrainedModel, there: Collection[str]) -> str | Sequence[str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    architecture = model.config.model_type
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    if architecture not in known:
        raise ModelError(
            [
                f"adapter.targets=default: PEFT has no default for {architecture}; expected"
                f" all-linear, or a list of {_names(there)}"
            ]
        )
    chosen: str | Sequence[str] = known[architecture]
    return chosen


def _nothing(model: PreTrainedModel, wanted: str, there: Collection[str], key: str) -> str:
    return (
        f"{key}: no linear layer of {_kind(model)} is called {wanted}; expected"
        f" all-linear, or some of {_names(there)}"
    )


def _kind(model: PreTrainedModel) -> str:
    return f"{type(model).__name__} (model_type {model.config.model_type})"


def _names(there: Collection[str]) -> str:
    return ", ".join(sorted({name.rpartition(".")[2] for name in there}))

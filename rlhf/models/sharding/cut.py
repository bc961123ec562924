"""Cuts a model's weights over the ranks, each of which holds a part of every tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from rlhf.models.scalar import ScalarModel
from rlhf.models.sharding.agreed import network_of
from rlhf.models.sharding.whole import on_first
from rlhf.models.training.partial import layers

# by Lightning's precision; else in the parts' own
READ_IN = {"bf16-mixed": torch.bfloat16}


def cut(model: nn.Module, mesh: DeviceMesh, dtype: torch.dtype | None = None) -> Cut:
    """Cuts the model in place: each layer by itself, then the rest of the network. A layer is whole
    only while it is read.

    Args:
        mesh: the ranks, in one dimension.
        dtype: the layers are put together and read in it, and gradients added up in float32; the
            parts keep their own, in which a head outside of the network gets its states, and a
            scalar head is read. None: all in their own.

    Raises:
        ModelError: the model has no list of as many modules as its configuration has layers.
    """
    network = network_of(model)
    before = [_Before.of(module) for module in network.modules()]
    left, own = _left_whole(model), next(network.parameters()).dtype
    for read in _read_as_a_whole(model):
        gives = None if read is model else own
        for part in [*_layers(read), read]:
            # True: after a forward pass without a backward nothing else would drop what was put
            # together, and the next would read weights from before an update
            fully_shard(
                part,
                mesh=mesh,
                mp_policy=_precision(part, dtype, gives=gives if part is read else None),
                reshard_after_forward=True,
                ignored_params=left,
            )
    return Cut(before)


def _precision(
    part: nn.Module, dtype: torch.dtype | None, gives: torch.dtype | None
) -> MixedPrecisionPolicy:
    """`gives`: the type of its outputs; None: the type that it is read in."""
    if dtype is None or isinstance(part, nn.Linear):
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, output_dtype=gives)


def cut_all(
    models: Iterable[nn.Module], mesh: DeviceMesh, dtype: torch.dtype | None = None
) -> dict[nn.Module, Cut]:
    """`cut` for each network of the models, once where they share it; by network."""
    networks = {network_of(model): model for model in models}
    return {network: cut(model, mesh, dtype) for network, model in networks.items()}


def join_all(models: Iterable[nn.Module], cuts: dict[nn.Module, Cut]) -> None:
    """Joins the networks of the models, and takes them out of the cuts."""
    for network in {network_of(model): None for model in models}:
        if network in cuts:
            cuts.pop(network).join()


def _read_as_a_whole(model: nn.Module) -> list[nn.Module]:
    """A scalar model's head reads states at another time than the backbone makes them; views read a
    shared network's states, or its logits."""
    network = network_of(model)
    if network is not model:
        return [cast(PreTrainedModel, network).base_model]
    return [model.model.base_model, model.head] if isinstance(model, ScalarModel) else [model]


def _left_whole(model: nn.Module) -> set[nn.Parameter]:
    """Parameters that every rank has: of a shared network the adapters, which are small, and the
    embeddings, which may be the head's as well, outside of what is read as a whole."""
    network = cast(PreTrainedModel, network_of(model))
    if network is model:
        return set()
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    left = {p for end in ends if end is not None for p in end.parameters()}
    return left | {p for name, p in network.named_parameters() if ".lora_" in name}


def _layers(network: nn.Module) -> list[nn.Module]:
    return [] if isinstance(network, nn.Linear) else [*layers(network)]  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Before:
    """What of a module is not the same while it is cut."""

    module: nn.Module
    kind: type
    hooks: dict[str, dict[Any, Any]]
    attributes: set[str]
    parameters: dict[str, int | None] = field(default_factory=dict)  # those of one id are tied

    @classmethod
    def of(cls, module: nn.Module) -> _Before:
        own = vars(module)
        return cls(
            module,
            type(module),
            {name: dict(value) for name, value in own.items() if name.endswith(HOOKS)},
            {*own},
            {key: None if p is None else id(p) for key, p in module._parameters.items()},
        )

    def restore(self) -> None:
        own = vars(self.module)
        self.module.__class__ = self.kind
        for name, hooks in self.hooks.items():
            own[name].clear()
            own[name].update(hooks)
        for name in [name for name in own if any(mark in name for mark in TORCHS)]:
            if name not in self.attributes:
                del own[name]


HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")
TORCHS = ("_fsdp_", "_composable_")  # in the names of what torch notes at a module


@dataclass(frozen=True)
class Cut:
    """What the modules of a model were before it was cut."""

    before: list[_Before]

    def join(self) -> None:
        """Puts the model together again, in place, on the CPU of rank 0; on the other ranks its
        weights are empty then. Every rank calls it."""
        made = dict[int | None, nn.Parameter]()
        for before in self.before:
            parameters = dict(before.module._parameters)
            before.restore()
            for key, tied in before.parameters.items():
                part = parameters[key]
                if isinstance(part, DTensor) and tied not in made:
                    full = on_first(part.detach())
                    made[tied] = nn.Parameter(full, requires_grad=part.requires_grad)
                before.module._parameters[key] = made.get(tied, part)


@contextmanager
def kept_together(model: nn.Module) -> Iterator[None]:
    """A cut model stays whole between the forward passes inside: many short ones, without gradient,
    put it together once."""
    parts = [module for module in network_of(model).modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_forward(True, recurse=False)
            part.reshard()

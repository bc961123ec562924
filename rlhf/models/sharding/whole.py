"""Weights and optimizer states of models that are cut, as one process has them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from rlhf.functional.finite import nonfinite_names


def whole(tensor: Tensor) -> Tensor:
    """The tensor, put together where it lies in parts. Every rank calls it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The module's state dict, whole, on the CPU of rank 0; elsewhere empty. Tied weights stay one
    tensor. Every rank calls it."""
    weights, made = {}, dict[int, Tensor]()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in made:
            made[id(tensor)] = on_first(tensor.detach())
        weights[name] = made[id(tensor)]
    return weights if is_first() else {}


def on_first(tensor: Tensor) -> Tensor:
    """The tensor, whole, on the CPU of rank 0; elsewhere an empty one. Every rank calls it."""
    together = whole(tensor)
    return together.cpu() if is_first() else together.new_empty(0)


@torch.no_grad()
def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Each rank takes its parts of a state dict that all of them have.

    Raises:
        KeyError: the module has a weight of a name that is not there.
    """
    for name, tensor in module.state_dict(keep_vars=True).items():
        tensor.copy_(part_of(weights[name], tensor))


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor, cut as another of its shape is."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    moved = tensor.to(like.device)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state dict, whole, numbered as one process numbers it, on the CPU of rank 0;
    elsewhere empty. Every rank calls it."""
    state = optimizer.state_dict()
    moments = {
        number: {
            key: on_first(value) if isinstance(value, Tensor) else value
            for key, value in own.items()
        }
        for number, own in state["state"].items()
    }
    return {**state, "state": moments} if is_first() else {}


def nonfinite_parts(named: Iterable[tuple[str, Tensor]]) -> dict[str, int]:
    """Of each named tensor with NaN or infinite entries, their number; of one that lies in parts,
    on all ranks. Every rank calls it."""
    tensors = dict(named)
    cut = {name for name, x in tensors.items() if isinstance(x, DTensor)}
    here = nonfinite_names((name, part(x)) for name, x in tensors.items())
    if not cut:
        return here
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, {name: n for name, n in here.items() if name in cut})
    summed = {name: sum(each.get(name, 0) for each in every) for name in tensors if name in cut}
    return {name: n for name in tensors if (n := summed.get(name, here.get(name, 0)))}


def part(tensor: Tensor) -> Tensor:
    """What this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Each rank takes its parts of a state dict that all of them have."""
    parameters = dict(enumerate(_parameters(optimizer)))
    moments = {
        number: {
            key: part_of(value, parameters[number]) if isinstance(value, Tensor) else value
            for key, value in own.items()
        }
        for number, own in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Gradients of parameters that each rank has whole become their means over the ranks; those of
    parts are that already. Every rank calls it."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    whole_ones = [g for g in gradients if not isinstance(g, DTensor)]
    if not whole_ones:
        return
    together = torch.cat([g.flatten().float() for g in whole_ones])
    dist.all_reduce(together)
    parts = together.div_(dist.get_world_size()).split([g.numel() for g in whole_ones])
    for gradient, mean in zip(whole_ones, parts, strict=True):
        gradient.copy_(mean.view_as(gradient))


def is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0

"""Networks that compute with bfloat16 weights, and the float32 weights that a trained one has
behind them."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn


def wide_weights(module: nn.Module) -> Iterator[nn.Parameter]:
    """The float32 weights that bfloat16 may take the place of: all but those below a module that
    says `keeps_float32 = True` (adapters over a backbone of 16 bits do). Buffers are no weights:
    the frequencies of rotary positions stay as they are."""
    kept = {
        id(parameter)
        for part in module.modules()
        if getattr(part, "keeps_float32", False)
        for parameter in part.parameters()
    }
    for parameter in module.parameters():
        if parameter.dtype == torch.float32 and id(parameter) not in kept:
            yield parameter


def to_bfloat16(module: nn.Module) -> None:
    """Rounds a frozen network's float32 weights to bfloat16, in place."""
    for parameter in wide_weights(module):
        parameter.data = parameter.data.to(torch.bfloat16)


class MasterWeights:
    """The float32 weights (`masters`) of networks that compute with their bfloat16 roundings.

    bfloat16 has 8 bits, so a step below 1/512 of a weight would be lost. Here the optimizer steps
    the masters, from gradients in float32, and each step is rounded anew (Micikevicius et al. 2018,
    arXiv 1710.03740, section 3.1).
    """

    def __init__(self, module: nn.Module) -> None:
        self.masters: dict[torch.Tensor, nn.Parameter] = {}  # by the weight that computes
        self.hold(module)

    def hold(self, module: nn.Module) -> None:
        """From now on the module computes in bfloat16, and its weights of now are its masters."""
        for weight in wide_weights(module):
            self.masters[weight] = nn.Parameter(weight.data, requires_grad=weight.requires_grad)
            weight.data = weight.data.to(torch.bfloat16)

    def follow(self) -> None:
        """Brings the masters to the devices of their roundings."""
        for weight, master in self.masters.items():
            master.data = master.data.to(weight.device)

    def take_over(self, optimizer: torch.optim.Optimizer) -> None:
        """From now on the optimizer, which has made no step yet, steps the masters."""
        for group in optimizer.param_groups:
            group["params"] = [self.masters.get(p, p) for p in group["params"]]
        for weight in [p for p in optimizer.state if p in self.masters]:
            state = optimizer.state.pop(weight)
            optimizer.state[self.masters[weight]] = {
                name: value.float() if _is_float(value) else value for name, value in state.items()
            }

    @torch.no_grad()
    def collect(self) -> None:
        """Adds the gradients of the roundings to those of the masters, in float32."""
        for weight, master in self.masters.items():
            if weight.grad is None:
                continue
            if master.grad is None:
                master.grad = weight.grad.float()
            else:
                master.grad += weight.grad
            weight.grad = None

    @torch.no_grad()
    def round(self) -> None:
        """The networks compute with what the masters are now."""
        for weight, master in self.masters.items():
            weight.copy_(master)

    def named(self, module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
        """The module's weights by name, masters in place of roundings."""
        for name, weight in module.named_parameters():
            yield name, self.masters.get(weight, weight)

    def whole(self, module: nn.Module) -> nn.Module:
        """The module with the masters for its weights: the same tensors, so what changes here is
        changed there once `round` is called."""
        known = {id(weight): self.masters.get(weight, weight) for weight in module.parameters()}
        return copy.deepcopy(module, known | {id(buffer): buffer for buffer in module.buffers()})

    def release(self) -> None:
        """Ends it: the networks have float32 weights again, the masters."""
        for weight, master in self.masters.items():
            weight.grad = None
            weight.data = master.data.to(weight.device)
        self.masters = {}


def _is_float(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()

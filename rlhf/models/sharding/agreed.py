"""Whether a model lies in parts on the ranks, and what all of them then agree on: each must read it
equally often."""

from __future__ import annotations

from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule


def network_of(model: nn.Module) -> nn.Module:
    """What is cut: of views of a shared network that network, once for all of them."""
    shared = getattr(model, "shared", None)
    return model if shared is None else cast(nn.Module, shared.model)


def is_cut(model: nn.Module) -> bool:
    """Whether it lies in parts on the ranks; asked at each token that is drawn."""
    return dist.is_initialized() and any(
        isinstance(module, FSDPModule) for module in network_of(model).modules()
    )


def any_rank(flags: Tensor, model: nn.Module) -> bool:
    """Whether a flag is set, here or, of a model that is cut, on any rank: all of them must read it
    equally often."""
    return bool(_largest(flags.any(), model))


def largest_of_ranks(count: int, model: nn.Module) -> int:
    """A count, or, of a model that is cut, the largest of all ranks."""
    device = next(network_of(model).parameters()).device
    return int(_largest(torch.tensor(count, device=device), model)) if is_cut(model) else count


def _largest(number: Tensor, model: nn.Module) -> Tensor:
    if is_cut(model):
        number = number.to(torch.int32)
        dist.all_reduce(number, dist.ReduceOp.MAX)
    return number

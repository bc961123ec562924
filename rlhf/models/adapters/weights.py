"""What tells one frozen network from another: a digest of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rlhf.models.sharding.whole import whole

BASE = ".base_layer"  # where PEFT keeps the layer that an adapter stands beside


def weights_digest(model: nn.Module) -> str:
    """sha256 (hex) over name, type, shape and bytes of each weight of a network: the same with
    adapters in it as without, on every device. Tied weights count once."""
    total = hashlib.sha256()
    for name, tensor in sorted(base_weights(model)):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        plain = whole(tensor.data).to("cpu").contiguous().reshape(-1)
        total.update(plain.view(torch.uint8).numpy().data)
    return total.hexdigest()


def base_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What is saved of a network, by the names that it has without adapters, tied weights once;
    with quantised weights also their scales."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if ".lora_" not in name and id(tensor) not in seen:
            seen.add(id(tensor))
            yield name.replace(BASE, ""), tensor

"""The rows of each forward pass where nothing is learned: packs of rows of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from rlhf.at_once import AtOnce
from rlhf.models.packing.choice import network_of, reading


def in_packs(
    read: Callable[[Tensor], Sequence[Tensor]],
    attention: Tensor,
    at_once: AtOnce,
    *models: nn.Module,
    groups: list[list[int]] | None = None,
) -> tuple[Tensor, ...]:
    """What `read` gives of all rows, in their order: tensors [B, ...]. It gets the indices [n] of
    the rows of one forward pass.

    attention [B, L]: their real tokens. `at_once` without limits: packs of as many tokens as are
    worth while. `models`: those that read; where one lies in parts on the ranks, every rank reads
    equally often. `groups`: other packs than those of rows of like length.
    """
    if groups is None:
        groups = at_once.reading(attention.device.type).cut(attention.sum(dim=1).tolist())
    if any(isinstance(network_of(model).base_model, FSDPModule) for model in models):
        most = torch.tensor(len(groups), device=attention.device)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        # what is beyond is read for the others' sake, and left out
        groups = [*groups, *[[0]] * (int(most) - len(groups))]
    packs = [torch.tensor(group, device=attention.device) for group in groups]
    with reading(*models):
        parts = [read(pack) for pack in packs]
    columns = zip(*parts, strict=True)
    order = torch.cat(packs)[: len(attention)].argsort()
    return tuple(torch.cat(column)[order] for column in columns)

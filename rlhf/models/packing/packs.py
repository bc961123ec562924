"""The rows of each forward pass where nothing is learned: packs of rows of like length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from rlhf.at_once import AtOnce
from rlhf.models.packing.choice import reading
from rlhf.models.sharding.agreed import is_cut, largest_of_ranks


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
    if cut := [model for model in models if is_cut(model)]:
        # what is beyond is read for the others' sake, and left out
        groups = [*groups, *[[0]] * (largest_of_ranks(len(groups), cut[0]) - len(groups))]
    packs = [torch.tensor(group, device=attention.device) for group in groups]
    with reading(*models):
        parts = [read(pack) for pack in packs]
    columns = zip(*parts, strict=True)
    order = torch.cat(packs)[: len(attention)].argsort()
    return tuple(torch.cat(column)[order] for column in columns)

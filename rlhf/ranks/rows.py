"""The rows of a batch over ranks: each its own, and all of them together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.ranks.group import Ranks
from rlhf.types import Batch

B = TypeVar("B", bound=Batch)


def own(ranks: Ranks, batch: B, count: int) -> B:
    """This rank's rows of a batch of `count`."""
    return batch if ranks.size == 1 else batch.rows(ranks.own(count))


def gathered(ranks: Ranks, mine: Any) -> Any:
    """The rows of all ranks in the order of the whole batch; responses are padded on the right,
    with zeros, to the longest. `mine`: a batch, a tensor with rows first, or a list or dict of
    these."""
    if ranks.size == 1:
        return mine
    device = next(_devices(mine))
    return _each(joined(ranks.gather(_each(mine, torch.device("cpu")))), device)


def by_rows(ranks: Ranks, read: Callable[[B], Tensor], batch: B, count: int) -> Tensor:
    """What `read` gives of each row of a batch that every rank has whole, each read by one of them:
    [B, ...]."""
    if ranks.size == 1:
        return read(batch)
    rows = ranks.own(count)
    # all read equally many, as a network that lies in parts on the ranks needs: what is read beyond
    # this rank's share, nobody asked for
    beyond = rows.new_zeros(-(-count // ranks.size) - len(rows))
    part = read(batch.rows(torch.cat([rows, beyond])))
    whole: Tensor = gathered(ranks, part[: len(rows)])
    return whole


def joined(parts: Sequence[Any]) -> Any:
    """Parts of one batch, of which part r has the rows r, r + len(parts), ...: the whole; what
    one of them lacks, it lacks."""
    first = parts[0]
    if any(part is None for part in parts):
        return None
    if isinstance(first, Tensor):
        return _interleaved(parts)
    if isinstance(first, Batch):
        return type(first)(
            **{f.name: joined([getattr(part, f.name) for part in parts]) for f in fields(first)}  # type: ignore[arg-type]
        )
    if isinstance(first, dict):
        return {name: joined([part[name] for part in parts]) for name in first}
    if isinstance(first, list):
        return [joined(column) for column in zip(*parts, strict=True)]
    if isinstance(first, tuple):
        return tuple(parts[i % len(parts)][i // len(parts)] for i in range(sum(map(len, parts))))
    return first


def _interleaved(parts: Sequence[Tensor]) -> Tensor:
    if parts[0].dim() > 1:
        longest = max(part.shape[1] for part in parts)
        rest = (0, 0) * (parts[0].dim() - 2)
        parts = [F.pad(part, (*rest, 0, longest - part.shape[1])) for part in parts]
    whole = parts[0].new_empty((sum(map(len, parts)), *parts[0].shape[1:]))
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole


def _each(value: Any, device: torch.device) -> Any:
    """The same on another device."""
    if isinstance(value, Tensor | Batch):
        return value.to(device)
    if isinstance(value, list):
        return [_each(item, device) for item in value]
    return {n: _each(v, device) for n, v in value.items()} if isinstance(value, dict) else value


def _devices(value: Any) -> Any:
    if isinstance(value, Tensor):
        yield value.device
    elif isinstance(value, Batch):
        for field in fields(value):  # type: ignore[arg-type]
            yield from _devices(getattr(value, field.name))
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _devices(item)

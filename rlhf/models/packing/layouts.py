"""The ways in which rows of different length go through a network.

packed    all rows one behind another, attention within each: every token is a real one, but for a
          few behind the rows of a small network, where they cost less than attention to each row
chunks    rows of like length, each from its first token on, without a mask: no token sees the
          padding behind it
padded    all rows as they stand, with their mask
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from rlhf.at_once import AtOnce
from rlhf.functional.sequences import positions
from rlhf.models.packing.attention import Lens
from rlhf.models.packing.prefixes import in_common

# real tokens of a chunk: fewer pay for every weight's gradient too often, more have more padding
CHUNK = 512
GPU_CHUNK = 8192
# What attention to one more group of rows costs a layer, forward and backward: as much as so many
# tokens times hidden size squared
GROUP = 4e4
# of all positions, those that are wanted: with more, to take them out and back costs what it saves
FEW = 0.8


class Layout(Enum):
    PACKED = "packed"
    CHUNKS = "chunks"
    PADDED = "padded"


@dataclass(frozen=True)
class Call:
    """One forward pass."""

    named: dict[str, Any]  # what the network is called with
    # the positions whose numbers are wanted: [b, l] bool, or [n] long of the only row, in order
    keep: Tensor
    places: Tensor | None = None  # [n] of these among all, in reading order; None: they are all

    def kept(self, states: Tensor) -> Tensor:
        """states [b, l, ...] of all positions -> [n, ...] of those that are wanted."""
        return states[self.keep] if self.keep.dim() == 2 else states.squeeze(0)[self.keep]


def calls(
    layout: Layout, tokens: Tensor, attention: Tensor, keep: Tensor, hidden: int
) -> list[Call]:
    """The forward passes that read the kept positions: tokens, attention, keep [B, L]; `hidden`:
    the network's hidden size, 0 where it does not tell."""
    if layout is Layout.PADDED:
        return [Call(padded(tokens, attention), keep)]
    real = _needed(attention, keep)
    if layout is Layout.PACKED:
        return [_packed(tokens, real, keep, hidden)]
    lengths, most = real.sum(dim=1).tolist(), CHUNK if tokens.device.type == "cpu" else GPU_CHUNK
    rows = [row for row, length in enumerate(lengths) if length]
    groups = AtOnce(tokens=most).cut([lengths[row] for row in rows])
    chunks = [sorted(rows[i] for i in group) for group in groups]
    made = [_chunk(tokens, real, keep, torch.tensor(c, device=tokens.device)) for c in chunks]
    return made if len(made) > 1 else [replace(made[0], places=None)]


def padded(tokens: Tensor, attention: Tensor) -> dict[str, Any]:
    """What a network is called with for whole rows [B, L].

    Position ids come from the mask, so that padding on the left changes nothing (GPT-2 would number
    the pads).
    """
    return {
        "input_ids": tokens,
        "attention_mask": attention.long(),
        "position_ids": positions(attention),
        "use_cache": False,
    }


def _needed(attention: Tensor, keep: Tensor) -> Tensor:
    """[B, L] bool: the tokens of each row up to its last kept one. A row without any has none; one
    row of all has a token, as a network needs one."""
    real = (attention | keep) & (keep.flip(1).cumsum(dim=1).flip(1) > 0)
    if not real.any():
        real[0, attention[0].long().argmax()] = True
    return real


def _packed(tokens: Tensor, real: Tensor, keep: Tensor, hidden: int) -> Call:
    if sharing := _sharing(tokens, real, keep):
        return sharing
    lengths, device = real.sum(dim=1).tolist(), tokens.device
    groups = alike(lengths, GROUP / hidden**2 if hidden and device.type == "cpu" else 0)
    rows = torch.tensor([*chain.from_iterable(groups)], device=device)
    widths = [lengths[group[0]] for group in groups for _ in group]  # of the rows
    length = torch.arange(tokens.shape[1], device=device)
    inside = length < torch.tensor(widths, device=device)[:, None]
    # each row's real tokens first, in order
    order = (~real).to(torch.uint8).argsort(dim=1, stable=True)
    first = tokens.shape[1] * torch.arange(len(tokens), device=device)  # of each row
    at = (order + first[:, None])[rows][inside]
    kept = keep.flatten()[at].nonzero().squeeze(1)
    named = {
        "input_ids": tokens.flatten()[at][None],
        "attention_mask": torch.empty(1, 1, 1, 0, device=device),  # so that none is built
        "position_ids": length.expand_as(inside)[inside][None],
        "use_cache": False,
        "lens": Lens.of(widths, device),
        "wanted": kept if len(kept) <= FEW * len(at) else None,
    }
    return Call(named, kept[at[kept].argsort()])


def alike(lengths: Sequence[int], most: float) -> list[list[int]]:
    """Rows of so many tokens as groups of places, the longest first; each group has at most so many
    tokens of padding, and rows without any token are in none."""
    groups: list[list[int]] = []
    padding = 0
    for row in sorted((i for i, length in enumerate(lengths) if length), key=lambda i: -lengths[i]):
        padding += lengths[groups[-1][0]] - lengths[row] if groups else 0
        if not groups or padding > most:
            groups.append([])
            padding = 0
        groups[-1].append(row)
    return groups


def _sharing(tokens: Tensor, real: Tensor, keep: Tensor) -> Call | None:
    """The rows with their common beginnings once, where each is asked for its last token alone and
    that saves enough. On a GPU one kernel for all rows is the faster."""
    if tokens.device.type != "cpu" or len(tokens) < 2 or not bool((keep.sum(dim=1) == 1).all()):
        return None
    if (shared := in_common(tokens, real)) is None:
        return None
    device = tokens.device
    named = {
        "input_ids": torch.tensor([shared.ids], device=device),
        "attention_mask": torch.empty(1, 1, 1, 0, device=device),  # so that none is built
        "position_ids": torch.tensor([shared.positions], device=device),
        "use_cache": False,
        "lens": shared,
        "wanted": torch.tensor(sorted({*shared.last}), device=device),
    }
    return Call(named, torch.tensor(shared.last, device=device))


def _chunk(tokens: Tensor, real: Tensor, keep: Tensor, index: Tensor) -> Call:
    """The rows `index` [b]."""
    lengths = real[index].sum(dim=1)
    # each row's real tokens first, in order
    order = (~real[index]).to(torch.uint8).argsort(dim=1, stable=True)[:, : int(lengths.max())]
    inside = torch.arange(order.shape[1], device=order.device) < lengths[:, None]
    kept = keep[index].gather(1, order) & inside
    number = (keep.flatten().cumsum(0) - 1).view(keep.shape)  # of each kept position
    named = {"input_ids": tokens[index].gather(1, order), "use_cache": False}
    return Call(named, kept, number[index].gather(1, order)[kept])


def joined(parts: list[Tensor], made_by: list[Call]) -> Tensor:
    """The numbers [n, ...] that each call gave, in reading order: [N, ...]."""
    if len(parts) == 1 and made_by[0].places is None:
        return parts[0]
    places = [call.places for call in made_by if call.places is not None]
    return torch.cat(parts)[torch.cat(places).argsort()]

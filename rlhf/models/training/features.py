"""What a frozen backbone makes of texts, read once: a head that is trained on it needs no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor

from rlhf.at_once import AtOnce
from rlhf.models.packing.choice import shares_beginnings
from rlhf.models.packing.prefixes import alike
from rlhf.models.scalar import Scalar

Ids = tuple[int, ...]


class Features:
    """The backbone's state at the last token of each of some texts, [hidden] each.

    It costs one forward pass over the texts that differ, and hidden * 4 bytes for each. They are
    read in an order of their own, so many at once as `at_once` lets (by default what is worth while
    on the device), so that the states depend on the set of texts alone: a stage that is resumed
    reads the same.
    """

    def __init__(
        self,
        model: Scalar,
        texts: Iterable[Sequence[int]],
        *,
        at_once: AtOnce = AtOnce(),  # noqa: B008 (it is frozen)
        device: str = "cpu",
    ) -> None:
        different = sorted({tuple(text) for text in texts})
        self.states: dict[Ids, Tensor] = {}
        model.to(device)
        limit = at_once.reading(device)
        groups = limit.cut([*map(len, different)])
        if shares_beginnings(model.network):
            groups = alike(different, limit)
        for group in groups:
            part = [different[place] for place in group]
            with torch.no_grad():
                states = model.last_states(*_padded(part, device)).cpu()
            self.states.update(zip(part, states, strict=True))
        model.cpu()

    def __len__(self) -> int:
        return len(self.states)

    def of(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens, mask [B, L] -> [B, hidden], of texts that were read."""
        rows = (
            tuple(row[counted].tolist())
            for row, counted in zip(tokens.cpu(), mask.cpu(), strict=True)
        )
        return torch.stack([self.states[row] for row in rows]).to(tokens.device)


def _padded(texts: Sequence[Ids], device: str) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(text) for text in texts])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.zeros(mask.shape, dtype=torch.long)
    tokens[mask] = torch.tensor([*chain.from_iterable(texts)])
    return tokens.to(device), mask.to(device)

"""What a frozen backbone makes of texts, read once: a head that is trained on it needs no more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from rlhf.models.scalar import Scalar

Ids = tuple[int, ...]


class Features:
    """The backbone's state at the last token of each of some texts, [hidden] each.

    It costs one forward pass over the texts that differ, and hidden * 4 bytes for each. They are
    read in order of length, `rows` at once (fewer, where they would have more than `most_tokens`),
    so that the states depend on the set of texts alone: a stage that is resumed reads the same.
    """

    def __init__(
        self,
        model: Scalar,
        texts: Iterable[Sequence[int]],
        *,
        rows: int,
        most_tokens: int | None = None,
        device: str = "cpu",
    ) -> None:
        different = sorted({tuple(text) for text in texts}, key=lambda text: (len(text), text))
        self.states: dict[Ids, Tensor] = {}
        model.to(device)
        while different:
            part = different[:rows]
            while len(part) > 1 and len(part) * len(part[-1]) > (most_tokens or math.inf):
                part = part[:-1]
            different = different[len(part) :]
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
    width = max(map(len, texts))
    tokens = torch.zeros(len(texts), width, dtype=torch.long)
    mask = torch.zeros(len(texts), width, dtype=torch.bool)
    for i, text in enumerate(texts):
        tokens[i, : len(text)] = torch.tensor(text)
        mask[i, : len(text)] = True
    return tokens.to(device), mask.to(device)

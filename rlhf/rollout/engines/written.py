"""The responses to some prompts, while they are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.rollout.engines.sampler import Drawn
from rlhf.types import PromptBatch, Rollout

COLUMNS = ("tokens", "mask", "logp", "entropy", "ended")


@dataclass(kw_only=True)
class Written:
    """The responses so far, all [B, T], and which of them have ended [B]."""

    tokens: Tensor
    mask: Tensor
    logp: Tensor
    entropy: Tensor
    ended: Tensor

    @classmethod
    def nothing(cls, rows: int, length: int, pad: int, device: torch.device) -> Written:
        blank = torch.zeros((rows, length), device=device)
        return cls(
            tokens=torch.full_like(blank, pad, dtype=torch.long),
            mask=torch.zeros_like(blank, dtype=torch.bool),
            logp=blank,
            entropy=blank.clone(),
            ended=torch.zeros(rows, dtype=torch.bool, device=device),
        )

    def put(self, rows: Tensor, step: int, drawn: Drawn) -> None:
        """The tokens of a step; rows [N] among them that have ended get none."""
        alive = ~self.ended[rows]
        self.tokens[rows, step] = torch.where(alive, drawn.tokens, self.tokens[rows, step])
        self.mask[rows, step] = alive
        self.logp[rows, step] = torch.where(alive, drawn.logp, 0.0)
        self.entropy[rows, step] = torch.where(alive, drawn.entropy, 0.0)

    def put_at(self, step: Tensor, drawn: Drawn) -> None:
        """The same of all rows, where the step [1] is known to the device alone."""
        alive = ~self.ended
        kept = self.tokens.index_select(1, step).squeeze(1)
        for column, own in (
            (self.tokens, torch.where(alive, drawn.tokens, kept)),
            (self.mask, alive),
            (self.logp, torch.where(alive, drawn.logp, 0.0)),
            (self.entropy, torch.where(alive, drawn.entropy, 0.0)),
        ):
            column.index_copy_(1, step, own[:, None])

    def take(self, other: Written) -> None:
        """Becomes a copy of another, where this one is in memory."""
        for name in COLUMNS:
            getattr(self, name).copy_(getattr(other, name))

    def rows(self, index: Tensor) -> Written:
        """Some of them."""
        return Written(**{name: getattr(self, name)[index] for name in COLUMNS})

    def set_rows(self, index: Tensor, other: Written) -> None:
        """Puts others in the place of some of them."""
        for name in COLUMNS:
            getattr(self, name)[index] = getattr(other, name)

    def rollout(self, prompts: PromptBatch) -> Rollout:
        """As long as the longest."""
        length = int(self.mask.any(0).sum())
        own = {name: getattr(self, name)[:, :length] for name in COLUMNS[:-1]}
        return Rollout(prompt=prompts, **own, ended=self.ended)

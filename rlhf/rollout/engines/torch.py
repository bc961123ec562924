"""Responses from the policy, with the log-probabilities they were drawn with.

Our own loop rather than transformers' `generate`: rows that have ended leave the cache, which does
not grow by copying, and top-k is off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.functional.sequences import positions
from rlhf.models.sharding.cut import any_rank
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.cache import cache_of, keep_rows
from rlhf.rollout.engines.local import LocalEngine, stopped, tail
from rlhf.rollout.engines.prefill import read_prompts, read_step, step_mask
from rlhf.rollout.engines.sampler import Drawn, draw
from rlhf.types import PromptBatch, Rollout

# Rows that have ended are taken out of the cache when at most this share of it goes on: taking them
# out copies what stays
GOES_ON = 0.8


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

    def rollout(self, prompts: PromptBatch) -> Rollout:
        """As long as the longest."""
        length = int(self.mask.any(0).sum())
        columns = ("tokens", "mask", "logp", "entropy")
        own = {name: getattr(self, name)[:, :length] for name in columns}
        return Rollout(prompt=prompts, **own, ended=self.ended)


@dataclass(frozen=True)
class TorchEngine(LocalEngine):
    """Draws step by step, with a cache of keys and values."""

    def together(self, prompts: PromptBatch, sampling: Sampling, u: Tensor) -> Rollout:
        """Each step reads the rows in the cache: those that go on, and some that have ended."""
        (count, width), steps, device = prompts.mask.shape, u.shape[1], u.device
        written = Written.nothing(count, steps, self.pad, device)
        cache = cache_of(self.model.config, width + steps)
        attention = F.pad(prompts.mask, (0, steps), value=True)
        rows = torch.arange(count, device=device)  # of the prompts, those in the cache
        place = positions(prompts.mask)[:, -1:]
        logits = read_prompts(self.model, prompts, cache)
        mask = step_mask(self.model, cache, attention)
        for step in range(steps):
            written.put(rows, step, draw(logits, u[rows, step], sampling))
            self._end(written, rows, step)
            if step + 1 == steps or not any_rank(~written.ended, self.model):
                break
            kept = going_on(~written.ended[rows])
            if kept is not None:
                keep_rows(cache, kept)
                rows, place, mask = rows[kept], place[kept], mask[kept]
            tokens, place = written.tokens[rows, step][:, None], place + 1
            logits = read_step(self.model, tokens, mask[..., : width + step + 1], place, cache)
        return written.rollout(prompts)

    def _end(self, written: Written, rows: Tensor, step: int) -> None:
        """Notes which of the rows the token of this step has ended."""
        alive, last = ~written.ended[rows], written.tokens[rows, step]
        ended = torch.isin(last, torch.tensor(self.stops.ids, device=last.device))
        if self.stops.texts:
            recent = written.tokens[:, max(0, step + 1 - tail(self.stops)) : step + 1]
            there = stopped(recent[rows[alive]].tolist(), self.stops, self.tokenizer)
            ended[alive] |= torch.tensor(there, dtype=torch.bool, device=last.device)
        written.ended[rows] |= ended & alive


def going_on(alive: Tensor) -> Tensor | None:
    """The rows [N] that stay in the cache; None: all, as nearly all go on. One stays at least: of a
    model that is cut a rank reads on where only others have rows that go on."""
    count = int(alive.sum())
    if count > GOES_ON * len(alive) or len(alive) == 1:
        return None
    return alive.nonzero().flatten() if count else alive.new_zeros(1, dtype=torch.long)

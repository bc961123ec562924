"""Responses from the policy, with the log-probabilities they were drawn with.

Our own loop rather than transformers' `generate`: rows that have ended leave the cache, which does
not grow by copying, and top-k is off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.functional.sequences import positions
from rlhf.models.packing.choice import reading
from rlhf.models.sharding.agreed import any_rank
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.cache import cache_of, keep_rows
from rlhf.rollout.engines.captured.graphs import CannotCapture, Graphs
from rlhf.rollout.engines.local import LocalEngine
from rlhf.rollout.engines.prefill import read_prompts, read_step, step_mask
from rlhf.rollout.engines.sampler import draw
from rlhf.rollout.engines.written import Written
from rlhf.types import PromptBatch, Rollout

# Rows that have ended are taken out of the cache when at most this share of it goes on: taking them
# out copies what stays
GOES_ON = 0.8


@dataclass(frozen=True)
class TorchEngine(LocalEngine):
    """Draws step by step, with a cache of keys and values. Where asked for, a step on CUDA is
    captured once and replayed, if the model lets it (`rlhf.rollout.engines.captured.graphs`)."""

    # steps of fixed shapes, which can be captured. None: on CUDA; True: on a CPU as well, where
    # they are called and not captured
    fixed: bool | None = False
    graphs: Graphs = field(default_factory=Graphs, init=False, repr=False, compare=False)

    def together(self, prompts: PromptBatch, sampling: Sampling, u: Tensor) -> Rollout:
        wanted = u.device.type == "cuda" if self.fixed is None else self.fixed
        if wanted and self.graphs.fits(self.model):
            try:
                return self.graphs.together(self, prompts, sampling, u)
            except CannotCapture as error:
                self.graphs.refuse(str(error))
        with reading(self.model):
            return self.one_by_one(prompts, sampling, u)

    def one_by_one(self, prompts: PromptBatch, sampling: Sampling, u: Tensor) -> Rollout:
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
            self.end(written, rows, step)
            if step + 1 == steps or not any_rank(~written.ended, self.model):
                break
            kept = going_on(~written.ended[rows])
            if kept is not None:
                keep_rows(cache, kept)
                rows, place, mask = rows[kept], place[kept], mask[kept]
            tokens, place = written.tokens[rows, step][:, None], place + 1
            logits = read_step(self.model, tokens, mask[..., : width + step + 1], place, cache)
        return written.rollout(prompts)


def going_on(alive: Tensor) -> Tensor | None:
    """The rows [N] that stay in the cache; None: all, as nearly all go on. One stays at least: of a
    model that is cut a rank reads on where only others have rows that go on."""
    count = int(alive.sum())
    if count > GOES_ON * len(alive) or len(alive) == 1:
        return None
    return alive.nonzero().flatten() if count else alive.new_zeros(1, dtype=torch.long)

"""What engines share that have the policy in this process: a batch drawn in parts, and the strings
that end responses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.at_once import AtOnce
from rlhf.models.networks import Policy
from rlhf.models.sharding.agreed import largest_of_ranks
from rlhf.rollout.engines.base import Sampling, Stops, in_context
from rlhf.rollout.engines.sampler import uniforms
from rlhf.rollout.engines.written import Written
from rlhf.types import PromptBatch, Rollout


@dataclass(frozen=True)
class LocalEngine(ABC):
    """Draws from a model in this process, so many rows at once."""

    model: Policy
    stops: Stops
    pad: int
    tokenizer: Any = None  # reads responses for strings that stop them
    # what is drawn together: tokens of the longest prompt and the longest response for each row
    at_once: AtOnce = AtOnce()

    @abstractmethod
    def together(self, prompts: PromptBatch, sampling: Sampling, u: Tensor) -> Rollout:
        """The responses to some prompts, all at once; u [B, max_new_tokens] decides the draws."""

    @torch.no_grad()
    def respond(
        self,
        prompts: PromptBatch,
        sampling: Sampling,
        generator: torch.Generator,
        rows: Tensor | None = None,
    ) -> Rollout:
        """In parts where the rows at once are limited, those with prompts of like length together.
        Which token is drawn depends neither on the parts nor on the order of the rows."""
        places = torch.arange(len(prompts)) if rows is None else rows
        u = uniforms(generator, places, sampling.max_new_tokens).to(prompts.tokens.device)
        parts = by_length(prompts.mask.sum(1), sampling.max_new_tokens, self.at_once)
        # of a model that is cut all ranks draw equally many parts: what is beyond, nobody reads
        beyond = largest_of_ranks(len(parts), self.model) - len(parts)
        drawn = [
            self.together(trimmed(prompts.rows(part)), sampling, u[part.to(u.device)])
            for part in [*parts, *[torch.tensor([0])] * beyond]
        ]
        return self._whole(prompts, parts, drawn)

    def end(self, written: Written, rows: Tensor, step: int) -> None:
        """Notes which of the rows the token of this step has ended."""
        ids = torch.tensor(self.stops.ids, device=rows.device)
        ended = torch.isin(written.tokens[rows, step], ids) & ~written.ended[rows]
        self.end_by_text(written, rows, step)
        written.ended[rows] |= ended

    def end_by_text(self, written: Written, rows: Tensor, step: int) -> None:
        """The same by strings alone."""
        if self.stops.texts:
            alive = rows[~written.ended[rows]]
            recent = written.tokens[alive, max(0, step + 1 - tail(self.stops)) : step + 1]
            there = stopped(recent.tolist(), self.stops, self.tokenizer)
            written.ended[alive] = torch.tensor(there, dtype=torch.bool, device=rows.device)

    def _whole(
        self, prompts: PromptBatch, parts: Sequence[Tensor], drawn: Sequence[Rollout]
    ) -> Rollout:
        """The parts' responses, in the order of the prompts, as copies: what learns may read
        them."""
        drawn = drawn[: len(parts)]
        back = torch.cat([*parts]).argsort().to(prompts.tokens.device)
        length = max(part.tokens.shape[1] for part in drawn)

        def column(name: str, fill: float = 0.0) -> Tensor:
            columns = [getattr(part, name) for part in drawn]
            every = [F.pad(x, (0, length - x.shape[1]), value=fill) for x in columns]
            return torch.cat(every)[back]

        return Rollout(
            prompt=prompts,
            tokens=column("tokens", self.pad),
            mask=column("mask", False),
            logp=column("logp"),
            entropy=column("entropy"),
            ended=torch.cat([part.ended for part in drawn])[back],
        )


def by_length(lengths: Tensor, new_tokens: int, at_once: AtOnce) -> list[Tensor]:
    """The rows of each part, in order of the prompts' lengths [B]; as they are where one part holds
    them. A row of a part has as many tokens as its longest prompt and the longest response."""
    if not at_once.limits:
        return [torch.arange(len(lengths))]
    parts: list[list[int]] = []
    for row in lengths.argsort(stable=True).tolist():
        room = at_once.of(len(lengths), int(lengths[row]) + new_tokens)
        if parts and len(parts[-1]) < room:
            parts[-1].append(row)
        else:
            parts.append([row])
    if len(parts) == 1:
        return [torch.arange(len(lengths))]
    return [torch.tensor(part) for part in parts]


def trimmed(prompts: PromptBatch) -> PromptBatch:
    """Without the columns on the left that pad all of them."""
    blank = int((~prompts.mask.any(0)).long().cumprod(0).sum())
    blank = min(blank, prompts.mask.shape[1] - 1)
    if not blank:
        return prompts
    return replace(prompts, tokens=prompts.tokens[:, blank:], mask=prompts.mask[:, blank:])


def tail(stops: Stops) -> int:
    """How many tokens a stop string lies in that the last of them completes. A token has a byte at
    least, but for special ones, which are no text: a string of n bytes lies in n + 4 tokens."""
    return max((len(text.encode()) + 4 for text in stops.texts), default=0)


def stopped(rows: Sequence[Sequence[int]], stops: Stops, tokenizer: Any) -> list[bool]:
    """Whether a stop string is complete, by the last `tail` tokens of responses."""
    texts = [in_context(row, tokenizer, stops.anchor) for row in rows]
    return [any(stop in text for stop in stops.texts) for text in texts]

"""Drawing responses: the settings, and what draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from rlhf.types import PromptBatch, Rollout


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of the draws. Only temperature 1, top_k 0 and top_p 1 draw from the policy
    itself."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def plain(self) -> Sampling:
        """The same length, drawn from the policy itself."""
        return Sampling(max_new_tokens=self.max_new_tokens)


class Engine(Protocol):
    """Draws responses from the policy as it is at the moment of the call."""

    def respond(
        self, prompts: PromptBatch, sampling: Sampling, generator: torch.Generator
    ) -> Rollout:
        """One response to each prompt, every draw from `generator`; T is the longest of them."""


def decode(rollout: Rollout, tokenizer: Any) -> list[str]:
    """Each response's text, without its EOS and whatever stands after it."""
    lengths = (rollout.mask.sum(1) - rollout.ended.long()).tolist()
    rows = rollout.tokens.tolist()
    return [
        tokenizer.decode(row[:n], skip_special_tokens=True)
        for row, n in zip(rows, lengths, strict=True)
    ]

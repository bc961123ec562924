"""Responses from the policy, with the log-probabilities they were drawn with.

Our own loop rather than transformers' `generate`: every draw comes from the generator that is
passed in, and top-k is off unless asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

from rlhf.functional.sequences import positions
from rlhf.functional.vocabulary import entropy_of
from rlhf.models.networks import Policy
from rlhf.models.sharding.cut import any_rank
from rlhf.rollout.engines.base import Sampling, Share, Stops, draw, in_context
from rlhf.types import AtOnce, PromptBatch, Rollout


def warp(logits: Tensor, sampling: Sampling) -> Tensor:
    """[B, V] -> [B, V]: log-probabilities of the distribution that is sampled.

    Temperature first, then the k most likely, then the smallest set with probability >= top_p
    (Holtzman et al. 2020, arXiv 1904.09751).
    """
    logp = torch.log_softmax(logits.float() / sampling.temperature, dim=-1)
    if 0 < sampling.top_k < logp.shape[-1]:
        kth = logp.topk(sampling.top_k, dim=-1).values[:, -1:]
        logp = logp.masked_fill(logp < kth, -torch.inf)
    if sampling.top_p < 1.0:
        ordered, index = logp.sort(dim=-1, descending=True)
        probability = ordered.softmax(dim=-1)
        outside = probability.cumsum(dim=-1) - probability >= sampling.top_p
        logp = logp.masked_fill(torch.zeros_like(outside).scatter(1, index, outside), -torch.inf)
    return torch.log_softmax(logp, dim=-1)


def drawable(logp: Tensor) -> Tensor:
    """[B, V] the probabilities.

    A row that holds NaN is drawn from uniformly, as a draw needs numbers. Its log-probabilities
    stay NaN, which is how rlhf.rollout.finite knows the response.
    """
    probability = logp.exp()
    sound = torch.isfinite(probability).all(dim=-1, keepdim=True)
    return torch.where(sound, probability, 1.0)


@dataclass(frozen=True)
class TorchEngine:
    """Draws from a model in this process, with a cache of its keys and values."""

    model: Policy
    stops: Stops
    pad: int
    tokenizer: Any = None  # reads responses for strings that stop them
    at_once: AtOnce = AtOnce()  # rows that are drawn together, prompt and longest response counted

    def _stopped(self, tokens: list[Tensor], alive: Tensor) -> Tensor:
        """[B]: a stop string is complete in the response so far. A token has a byte at least, but
        for special ones, which are no text: a string of n bytes lies in the last n + 4 tokens."""
        tail = max(len(text.encode()) for text in self.stops.texts) + 4
        rows = torch.stack(tokens[-tail:], dim=1).tolist()
        texts = [
            in_context(row, self.tokenizer, self.stops.anchor) if going else ""
            for row, going in zip(rows, alive.tolist(), strict=True)
        ]
        ended = [any(stop in text for stop in self.stops.texts) for text in texts]
        return torch.tensor(ended, device=alive.device)

    @torch.no_grad()
    def respond(
        self,
        prompts: PromptBatch,
        sampling: Sampling,
        generator: torch.Generator,
        share: Share | None = None,
    ) -> Rollout:
        """In parts where the rows are limited: each begins with the generator as it was, so that
        the draws are those of all rows together."""
        share = share or Share.whole(len(prompts))
        length = prompts.tokens.shape[1] + sampling.max_new_tokens
        rows = self.at_once.of(len(prompts), length)
        begin = end = generator.get_state()
        parts: list[Rollout] = []
        for index in torch.arange(len(prompts)).split(rows):
            generator.set_state(begin)
            part = self._together(prompts.rows(index), sampling, generator, share.part(index))
            if all(part.tokens.shape[1] > other.tokens.shape[1] for other in parts):
                end = generator.get_state()
            parts.append(part)
        generator.set_state(end)
        return parts[0] if len(parts) == 1 else self._joined(prompts, parts)

    def _joined(self, prompts: PromptBatch, parts: Sequence[Rollout]) -> Rollout:
        length = max(part.tokens.shape[1] for part in parts)

        def column(name: str, fill: float = 0.0) -> Tensor:
            columns = [getattr(part, name) for part in parts]
            return torch.cat([F.pad(x, (0, length - x.shape[1]), value=fill) for x in columns])

        return Rollout(
            prompt=prompts,
            tokens=column("tokens", self.pad),
            mask=column("mask", False),
            logp=column("logp"),
            entropy=column("entropy"),
            ended=torch.cat([part.ended for part in parts]),
        )

    def _together(
        self, prompts: PromptBatch, sampling: Sampling, generator: torch.Generator, share: Share
    ) -> Rollout:
        attention = prompts.mask
        cache = DynamicCache(config=self.model.config)
        step_tokens, step_positions = prompts.tokens, positions(prompts.mask)
        alive = torch.ones(len(prompts), dtype=torch.bool, device=attention.device)
        tokens, masks, logps, entropies = [], [], [], []
        stop_ids = torch.tensor(self.stops.ids, device=attention.device)
        for _ in range(sampling.max_new_tokens):
            logits = self.model(
                input_ids=step_tokens,
                attention_mask=attention.long(),
                position_ids=step_positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            logp = warp(logits, sampling)
            drawn = draw(drawable(logp), generator, share)
            tokens.append(torch.where(alive, drawn, self.pad))
            masks.append(alive)
            logps.append(torch.where(alive, logp.gather(1, drawn[:, None]).squeeze(1), 0.0))
            entropies.append(torch.where(alive, entropy_of(logp), 0.0))
            attention = torch.cat([attention, alive[:, None]], dim=1)
            step_tokens, step_positions = tokens[-1][:, None], step_positions[:, -1:] + 1
            alive = alive & ~torch.isin(drawn, stop_ids)
            if self.stops.texts:
                alive = alive & ~self._stopped(tokens, alive)
            if not any_rank(alive, self.model):
                break
        return Rollout(
            prompt=prompts,
            tokens=torch.stack(tokens, 1),
            mask=torch.stack(masks, 1),
            logp=torch.stack(logps, 1),
            entropy=torch.stack(entropies, 1),
            ended=~alive,
        )

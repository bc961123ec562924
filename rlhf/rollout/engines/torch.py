"""Responses from the policy, with the log-probabilities they were drawn with.

Our own loop rather than transformers' `generate`: every draw comes from the generator that is
passed in, and top-k is off unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rlhf.functional.sequences import positions
from rlhf.types import PromptBatch, Rollout


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How responses are drawn. Only temperature 1, top_k 0 and top_p 1 draw from the policy
    itself."""

    max_new_tokens: int
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def plain(self) -> Sampling:
        """The same length, drawn from the policy itself."""
        return Sampling(max_new_tokens=self.max_new_tokens)


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


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompt: PromptBatch,
    sampling: Sampling,
    *,
    eos: int,
    pad: int,
    generator: torch.Generator,
) -> Rollout:
    """One response to each prompt; T is the longest of them."""
    attention = prompt.mask
    cache = DynamicCache(config=model.config)
    step_tokens, step_positions = prompt.tokens, positions(prompt.mask)
    alive = torch.ones(len(prompt), dtype=torch.bool, device=attention.device)
    tokens, masks, logps = [], [], []
    for _ in range(sampling.max_new_tokens):
        logits = model(
            input_ids=step_tokens,
            attention_mask=attention.long(),
            position_ids=step_positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        logp = warp(logits, sampling)
        drawn = torch.multinomial(logp.exp(), 1, generator=generator).squeeze(1)
        tokens.append(torch.where(alive, drawn, pad))
        masks.append(alive)
        logps.append(torch.where(alive, logp.gather(1, drawn[:, None]).squeeze(1), 0.0))
        attention = torch.cat([attention, alive[:, None]], dim=1)
        step_tokens, step_positions = tokens[-1][:, None], step_positions[:, -1:] + 1
        alive = alive & (drawn != eos)
        if not alive.any():
            break
    return Rollout(
        prompt=prompt,
        tokens=torch.stack(tokens, 1),
        mask=torch.stack(masks, 1),
        logp=torch.stack(logps, 1),
        ended=~alive,
    )


def decode(rollout: Rollout, tokenizer: object) -> list[str]:
    """Each response's text, without its EOS and whatever stands after it."""
    lengths = (rollout.mask.sum(1) - rollout.ended.long()).tolist()
    rows = rollout.tokens.tolist()
    return [
        tokenizer.decode(row[:n], skip_special_tokens=True)  # type: ignore[attr-defined]
        for row, n in zip(rows, lengths, strict=True)
    ]

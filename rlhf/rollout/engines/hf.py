"""Responses by transformers' own `generate`: the reference that the other engine is held against,
and one for architectures whose states it does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel, StoppingCriteria

from rlhf.functional.sequences import response_mask
from rlhf.models.adapters.views import PolicyView
from rlhf.models.networks import Policy
from rlhf.models.sharding.agreed import is_cut
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.local import LocalEngine, stopped, tail
from rlhf.rollout.engines.sampler import Drawn, draw
from rlhf.types import PromptBatch, Rollout


@dataclass
class Drawing(LogitsProcessor):
    """Draws by random numbers u [B, T], and leaves `generate` the token drawn as the only one."""

    sampling: Sampling
    u: Tensor
    drawn: list[Drawn] = field(default_factory=list)  # of each step

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        drawn = draw(scores, self.u[:, len(self.drawn)], self.sampling)
        self.drawn.append(drawn)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn.tokens[:, None], 0.0)


@dataclass
class Strings(StoppingCriteria):
    """The responses that a stop string has ended, each after its token `ended` (0 where none)."""

    stops: Stops
    tokenizer: Any
    width: int  # of the prompts
    ended: Tensor  # [B]

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        length = input_ids.shape[1] - self.width
        recent = input_ids[:, self.width :][:, -tail(self.stops) :].tolist()
        now = torch.tensor(stopped(recent, self.stops, self.tokenizer), device=self.ended.device)
        self.ended = torch.where((self.ended == 0) & now, length, self.ended)
        return self.ended > 0


@dataclass(frozen=True)
class HFEngine(LocalEngine):
    """Draws with `generate`, the same tokens as the torch engine."""

    def together(self, prompts: PromptBatch, sampling: Sampling, u: Tensor) -> Rollout:
        (count, width), device = prompts.mask.shape, u.device
        drawing = Drawing(sampling, u)
        ended = torch.zeros(count, dtype=torch.long, device=device)
        strings = Strings(self.stops, self.tokenizer, width, ended)
        settings = GenerationConfig(
            max_new_tokens=u.shape[1],
            do_sample=False,  # the only token left is the one drawn
            eos_token_id=[*self.stops.ids],
            pad_token_id=self.pad,
            use_cache=True,
        )
        with network_of(self.model, settings) as network:
            whole = network.generate(  # type: ignore[operator]
                prompts.tokens,
                attention_mask=prompts.mask.long(),
                generation_config=settings,
                logits_processor=[drawing],
                stopping_criteria=[strings] if self.stops.texts else [],
                synced_gpus=is_cut(self.model),
            )
        tokens = whole[:, width:]
        mask = response_mask(tokens, self.stops.ids)
        steps = torch.arange(tokens.shape[1], device=device)
        mask &= (strings.ended == 0)[:, None] | (steps < strings.ended[:, None])
        length = int(mask.any(0).sum())
        by_id = (mask & torch.isin(tokens, torch.tensor(self.stops.ids, device=device))).any(1)

        def column(name: str) -> Tensor:
            numbers = torch.stack([getattr(d, name) for d in drawing.drawn[:length]], dim=1)
            return numbers.masked_fill(~mask[:, :length], 0.0)

        return Rollout(
            prompt=prompts,
            tokens=tokens.masked_fill(~mask, self.pad)[:, :length],
            mask=mask[:, :length],
            logp=column("logp"),
            entropy=column("entropy"),
            ended=by_id | (strings.ended > 0),
        )


@contextmanager
def network_of(model: Policy, settings: GenerationConfig) -> Iterator[PreTrainedModel]:
    """The network that generates, a view's with its adapters; what its own generation_config asks
    for beside (a repetition penalty, forced tokens) is off meanwhile."""
    if isinstance(model, PolicyView):
        with model.shared.using(*model.adapters), network_of(model.network, settings) as network:
            yield network
        return
    before, model.generation_config = model.generation_config, settings
    try:
        yield model
    finally:
        model.generation_config = before

"""Control tokens: tokens that a network reads before a prompt and never writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rlhf.models.adapters.views import Policy
from rlhf.types import Rollout

CHUNK = 4096  # ids that are read together


def first_id(model: Policy) -> int:
    """The id of the first control token: that after all ids of the model's own embedding."""
    return int(model.get_input_embeddings().weight.shape[0])  # type: ignore[union-attr, index]


@torch.no_grad()
def mean_embedding(model: Policy) -> Tensor:
    """[hidden] float32: the mean over all ids of what the model's embedding gives them."""
    embedding, size = model.get_input_embeddings(), first_id(model)
    parts = torch.arange(size, device=model.device).split(CHUNK)
    return torch.stack([embedding(ids).double().sum(0) for ids in parts]).sum(0).float() / size


@contextmanager
def reading(model: Policy, rows: Tensor) -> Iterator[None]:
    """Inside, the model reads control tokens: `rows` [K, hidden] are the embeddings of the ids
    after its own, with their gradient.

    They stand beside the embedding and not in it, so that a head that is tied to it has no logits
    for them: they are neither sampled nor a part of any distribution.
    """
    embedding, size, asked = model.get_input_embeddings(), first_id(model), list[Tensor]()

    def own(module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        ids, *others = arguments
        asked.append(ids)
        return (ids.masked_fill(ids >= size, 0), *others)

    def control(module: Any, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        ids = asked.pop()
        embedded = F.embedding((ids - size).clamp(min=0), rows).to(output.dtype)
        return torch.where((ids >= size).unsqueeze(-1), embedded, output)

    hooks = [
        embedding.register_forward_pre_hook(own),
        embedding.register_forward_hook(control),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def with_control(ids: Sequence[int], control: int, bos: int | None, most: int | None) -> list[int]:
    """A prompt's ids with a control token before them, behind the BOS where they begin with it. Of
    a prompt that would have more than `most` ids then, the first that follow are left out; None: no
    limit."""
    opened = int(bos is not None and list(ids[:1]) == [bos])
    over = 0 if most is None else max(0, len(ids) + 1 - most)
    return [*ids[:opened], control, *ids[opened + over :]]


def unmarked(rollout: Rollout, first: int) -> Rollout:
    """The rollout without its control tokens: the ids from `first` on."""
    prompt = rollout.prompt
    control = prompt.tokens >= first
    bare = replace(
        prompt, tokens=prompt.tokens.masked_fill(control, 0), mask=prompt.mask & ~control
    )
    return replace(rollout, prompt=bare)

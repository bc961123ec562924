"""The prompts, read into the cache that responses are drawn with."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache

from rlhf.functional.sequences import positions
from rlhf.models.adapters.views import PolicyView
from rlhf.models.networks import Policy
from rlhf.models.packing.attention import NAME as BY_ROWS
from rlhf.models.sharding.agreed import is_cut
from rlhf.rollout.engines.cache import cache_of, copy_rows, is_buffered
from rlhf.rollout.engines.local import trimmed
from rlhf.types import PromptBatch

# Rows of a group: with fewer a linear layer is slower a row, and rounds otherwise
ROWS = 16
# What one more forward pass costs a layer: as much as reading so many tokens times hidden size
# squared, 0.6 ms at 50 GFLOP/s
PASS = 1.25e6


def read_prompts(model: Policy, prompts: PromptBatch, cache: DynamicCache) -> Tensor:
    """Logits [B, V] after the prompts, whose keys and values are then in the cache. Prompts of like
    length are read together where that saves more padding than it costs."""
    lengths = prompts.mask.sum(1)
    groups = [torch.arange(len(prompts))]
    if is_buffered(cache) and not is_cut(model):
        groups = by_cost(lengths, getattr(model.config.get_text_config(), "hidden_size", 0))
    if len(groups) == 1:
        return read_step(model, prompts.tokens, prompts.mask, positions(prompts.mask), cache)
    logits, width = [], prompts.mask.shape[1]
    for rows in groups:
        part = trimmed(prompts.rows(rows))
        own = cache_of(model.config, part.mask.shape[1])
        logits.append(read_step(model, part.tokens, part.mask, positions(part.mask), own))
        copy_rows(own, cache, rows, len(prompts), width)
    return torch.cat(logits)[torch.cat(groups).argsort()]


def read_step(
    model: Policy, tokens: Tensor, attention: Tensor, place: Tensor, cache: DynamicCache
) -> Tensor:
    """Logits [B, V] after the last of the tokens [B, N] at the positions `place`, which the cache
    then holds; attention [B, those before and these], or as `step_mask` gives it."""
    logits: Tensor = model(
        input_ids=tokens,
        attention_mask=attention if attention.dim() == 4 else attention.long(),
        position_ids=place,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1]


def step_mask(model: Policy, cache: DynamicCache, attention: Tensor) -> Tensor:
    """The attention of all steps [B, L] as each of them can read its part, `[..., :end]`. Where
    sdpa attends to all tokens that is its own mask of one query [B, 1, 1, L], so that a step makes
    none: of a small network that is a tenth of it."""
    plain = is_buffered(cache) and takes_masks(model)
    return attention[:, None, None] if plain and not bool(attention.all()) else attention


def takes_masks(model: Policy) -> bool:
    """Whether its attention takes a mask [B, 1, 1, L] of bools as it is."""
    network = model.network if isinstance(model, PolicyView) else model
    return bool(
        getattr(network, "_supports_attention_backend", False)
        and network.config._attn_implementation in ("sdpa", BY_ROWS)
    )


def by_cost(lengths: Tensor, hidden: int) -> list[Tensor]:
    """Groups of rows by the lengths [B] of their prompts, on a CPU; one where they are much alike,
    or few, or the network so small that a pass costs more than the padding."""
    count = len(lengths) // ROWS
    if count < 2 or lengths.device.type != "cpu":
        return [torch.arange(len(lengths))]
    groups = [*lengths.argsort(stable=True).tensor_split(count)]
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in groups)
    saved = len(lengths) * int(lengths.max()) - padded
    return groups if saved * hidden**2 > (count - 1) * PASS else [torch.arange(len(lengths))]

"""Attention within each row of rows that stand one behind another, for every network that lets
transformers choose its attention.

A network has it by name (`config._attn_implementation`), which no config.json keeps. Without
`lens` it is transformers' sdpa, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from inspect import signature
from itertools import accumulate, groupby
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from rlhf.models.packing.prefixes import Shared, attend
from rlhf.models.packing.trim import trimmed

NAME = "rows"
# of a layer's attention: what makes a token's reach or weight another than softmax of all before it
UNKNOWN = ("sliding_window", "softcap", "s_aux", "position_bias")
HALF = (torch.bfloat16, torch.float16)
sdpa: Callable[..., Any] = sdpa_attention_forward


@dataclass(frozen=True)
class Lens:
    """The tokens of each row, in order; on a GPU also where each begins, [B + 1] int32. Rows of one
    length that stand together are a run, and go through attention together."""

    tokens: tuple[int, ...]
    begins: Tensor | None = None

    @classmethod
    def of(cls, tokens: Sequence[int], device: torch.device) -> Lens:
        if device.type == "cpu":
            return cls((*tokens,))
        begins = torch.tensor([0, *accumulate(tokens)], dtype=torch.int32, device=device)
        return cls((*tokens,), begins)

    @cached_property
    def runs(self) -> list[tuple[int, int]]:
        """The length of each run, and its rows."""
        return [(length, len([*rows])) for length, rows in groupby(self.tokens)]

    @cached_property
    def sizes(self) -> list[int]:
        """The tokens of each run."""
        return [length * count for length, count in self.runs]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    lens: Lens | Shared | None = None,
    wanted: Tensor | None = None,
    **named: Any,
) -> tuple[Tensor, None]:
    """query [1, H, M, d], key and value with as many heads or fewer -> [1, M, H, d]: each of the M
    tokens attends to those before it in its own row, which `lens` tells; rows may share tokens.
    `wanted` is for `trim`.

    Raises:
        ValueError: the layer's attention is of a kind that would not be this.
    """
    if lens is None:
        result: tuple[Tensor, None] = sdpa(module, query, key, value, attention_mask, **named)
        return result
    if kinds := [name for name in UNKNOWN if named.get(name) is not None]:
        raise ValueError(f"attention with {kinds[0]} is not read row by row")
    if isinstance(lens, Shared):
        return attend(module, query, key, value, lens, **named), None
    if lens.begins is not None and query.dtype in HALF:
        return _varlen(query, key, value, lens.tokens, lens.begins, named.get("scaling")), None
    named["is_causal"] = True
    parts = []
    # without selecting from them, whose gradient is a copy
    runs = (x.squeeze(0).split(lens.sizes, dim=1) for x in (query, key, value))
    for (length, count), *run in zip(lens.runs, *runs, strict=True):
        rows = [x.unflatten(1, (count, length)).transpose(0, 1) for x in run]  # [count, H, L, d]
        parts.append(sdpa(module, *rows, None, **named)[0].flatten(0, 1))
    return torch.cat(parts)[None], None


def _varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    tokens: Sequence[int],
    begins: Tensor,
    scale: float | None,
) -> Tensor:
    """One kernel for all rows. Only a GPU has it: tests with the marker gpu run it."""
    from torch.nn.attention import varlen

    kernel: Callable[..., Any] = varlen.varlen_attn
    named: dict[str, Any] = {"scale": scale, "window_size": (-1, 0)}
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))  # [M, H, d]
    if (groups := query.shape[1] // key.shape[1]) > 1:
        if "enable_gqa" in _names(kernel):
            named["enable_gqa"] = True
        else:  # of an older torch, 2.11 for one
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    rows: Tensor = kernel(query, key, value, begins, begins, max(tokens), max(tokens), **named)
    return rows[None]


@cache
def _names(kernel: Callable[..., Any]) -> frozenset[str]:
    return frozenset(signature(kernel).parameters)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def has_varlen() -> bool:
    """Whether this torch has attention over rows of different length, which can be causal."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return "window_size" in _names(varlen_attn)


def attending(model: PreTrainedModel, asked: Mapping[str, Any]) -> PreTrainedModel:
    """The model, which has this attention in place of the sdpa that transformers chose, where all
    that connects its tokens is plain causal attention. `asked`: what it was made with: an
    attention that was asked for stays, this one too."""
    own = model.config._attn_implementation
    if own == NAME:
        return trimmed(model)
    if "attn_implementation" not in asked and own == "sdpa" and is_plain(model):
        model.set_attn_implementation(NAME)
        trimmed(model)
    return model


def is_plain(network: PreTrainedModel) -> bool:
    """Whether tokens are connected by causal attention to all before them and nothing else, as far
    as the network's class and configuration tell."""
    config: Any = network.config.get_text_config()
    windowed = getattr(config, "sliding_window", None) is not None and getattr(
        config, "use_sliding_window", True
    )
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return bool(
        getattr(network, "_supports_attention_backend", False)
        and not windowed
        and kinds == {"full_attention"}
        and getattr(config, "attn_logit_softcapping", None) is None
        and not getattr(config, "is_encoder_decoder", False)
        and not any(isinstance(module, nn.Conv1d) for module in network.modules())  # state spaces
    )

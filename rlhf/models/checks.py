"""Whether a model and its tokenizer go together, asked before anything is trained, and the lengths
that a model can read."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

# the names that configurations have for it; XLNet's -1 means no limit
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


def positions_of(config: Any) -> int | None:
    """The most tokens that a model of this configuration reads at once; None where there is no
    limit (or no configuration)."""
    if config is None:
        return None
    text = config.get_text_config()
    limits = (getattr(text, name, None) for name in POSITIONS)
    return next((n for n in limits if isinstance(n, int) and n > 0), None)


def vocabulary_size(tokenizer: Any) -> int:
    """1 + the largest id that the tokenizer can give or read."""
    return int(max(tokenizer.get_vocab().values())) + 1


def textless_ids(tokenizer: Any) -> list[int]:
    """The ids below `vocabulary_size` that no text has: gaps that some tokenizers leave."""
    used = set(tokenizer.get_vocab().values())
    return [i for i in range(vocabulary_size(tokenizer)) if i not in used]


def vocabulary_faults(tokenizer: Any, rows: int) -> list[str]:
    """A sentence where ids of the tokenizer, its pad's among them, lie outside an embedding of so
    many rows."""
    outside = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i >= rows)
    if not outside:
        return []
    last = f"the model's embedding has {rows} rows (ids 0 to {rows - 1})"
    if [token for _, token in outside] == [tokenizer.pad_token]:
        return [
            f"the pad token {tokenizer.pad_token} has the id {tokenizer.pad_token_id}, but {last}:"
            " save the tokenizer with pad_token = eos_token, or the model after"
            " resize_token_embeddings(len(tokenizer))"
        ]
    first = ", ".join(f"{token} = {i}" for i, token in outside[:3])
    count = f"{len(outside)} of the tokenizer's ids lie" if len(outside) > 1 else "an id lies"
    return [
        f"{count} outside the model ({first}{', ...' if len(outside) > 3 else ''}): {last}; save"
        " the model after resize_token_embeddings(len(tokenizer)), or take the tokenizer it was"
        " trained with"
    ]


def precision_faults(model: nn.Module) -> list[str]:
    """A sentence where weights that are trained have 16 bits: a step of 1e-6 of their size is lost
    in rounding (a bfloat16 number has 8 bits, so it moves by 1/256 of itself or not at all)."""
    narrow = {
        str(p.dtype).removeprefix("torch.")
        for p in model.parameters()
        if p.requires_grad and p.dtype in (torch.bfloat16, torch.float16)
    }
    return [
        f"the model has weights in {name}, which small steps would leave as they are: load it in"
        " float32 and set trainer.precision=bf16-mixed or bf16-true for speed"
        for name in sorted(narrow)
    ]

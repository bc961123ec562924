"""Text to tensors. A sequence is prompt ids + completion ids + EOS. Masks come from lengths,
never from ids: pad == eos is harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from rlhf.data.records import DataError, Demonstration, Preference
from rlhf.types import DemonstrationBatch, PreferenceBatch, PromptBatch

Row = TypeVar("Row")


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One sequence and where its completion begins; `cut` where it was longer than allowed."""

    ids: tuple[int, ...]
    prompt_length: int
    cut: bool = False


def eos_id(tokenizer: Any) -> int:
    if tokenizer.eos_token_id is None:
        raise ValueError(
            "the tokenizer has no EOS token: set eos_token before training, a response could"
            " never end"
        )
    return int(tokenizer.eos_token_id)


def pad_id(tokenizer: Any) -> int:
    """Any id will do for padding, since masks decide what counts: the pad token's, or EOS where
    there is none."""
    return int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else eos_id(tokenizer)


def encode_text(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Prompt ids, after BOS where the tokenizer has one; an empty prompt is BOS, or EOS, alone:
    a model needs something to go on."""
    bos = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    return bos + encode_text(tokenizer, prompt) or [eos_id(tokenizer)]


def encode_pair(
    tokenizer: Any, prompt: str, completion: str, max_length: int, *, ended: bool = True
) -> Encoded:
    """prompt + completion + EOS (where it ended), cut on the right at `max_length` tokens (then
    there is no EOS)."""
    prompt_ids = encode_prompt(tokenizer, prompt)
    ids = [
        *prompt_ids,
        *encode_text(tokenizer, completion),
        *([eos_id(tokenizer)] if ended else []),
    ]
    return Encoded(
        ids=tuple(ids[:max_length]),
        prompt_length=min(len(prompt_ids), max_length),
        cut=len(ids) > max_length,
    )


def pad(rows: Sequence[Sequence[int]], fill: int, *, side: str = "right") -> tuple[Tensor, Tensor]:
    """Rows of ids to (tokens [B, L] long, mask [B, L] bool)."""
    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), fill, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        tokens[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = True
    return tokens, mask


def collate_prompts(tokenizer: Any, prompts: Sequence[str]) -> PromptBatch:
    tokens, mask = pad(
        [encode_prompt(tokenizer, p) for p in prompts], pad_id(tokenizer), side="left"
    )
    return PromptBatch(tokens=tokens, mask=mask, texts=tuple(prompts))


def encode_demonstrations(
    tokenizer: Any, rows: Sequence[Demonstration], max_length: int
) -> list[Encoded]:
    """Rows whose prompt alone fills `max_length` are left out: there is nothing of the completion
    to learn.

    Raises:
        DataError: no row has a completion left.
    """
    encoded = [encode_pair(tokenizer, row.prompt, row.completion, max_length) for row in rows]
    return _with_room(encoded, lambda row: row.prompt_length < len(row.ids), max_length)


def _with_room(rows: list[Row], has_room: Callable[[Row], bool], max_length: int) -> list[Row]:
    kept = [row for row in rows if has_room(row)]
    if rows and not kept:
        raise DataError(
            f"all {len(rows)} prompts are {max_length} tokens or longer, so nothing is left to"
            " learn: raise max_length"
        )
    return kept


def collate_demonstrations(
    rows: Sequence[Encoded], fill: int, *, train_on_prompt: bool
) -> DemonstrationBatch:
    tokens, attention = pad([row.ids for row in rows], fill)
    loss_mask = attention.clone()
    if not train_on_prompt:
        for i, row in enumerate(rows):
            loss_mask[i, : row.prompt_length] = False
    return DemonstrationBatch(tokens=tokens, attention=attention, loss_mask=loss_mask)


@dataclass(frozen=True, kw_only=True)
class EncodedPreference:
    chosen: Encoded
    rejected: Encoded
    margin: float


def encode_preferences(
    tokenizer: Any, rows: Sequence[Preference], max_length: int
) -> list[EncodedPreference]:
    """Pairs that are the same after the cut at `max_length` are left out; DataError if all are."""
    encoded = [
        EncodedPreference(
            chosen=encode_pair(
                tokenizer, row.prompt, row.chosen, max_length, ended=row.chosen_ended
            ),
            rejected=encode_pair(
                tokenizer, row.prompt, row.rejected, max_length, ended=row.rejected_ended
            ),
            margin=row.margin or 0.0,
        )
        for row in rows
    ]
    return _with_room(encoded, lambda pair: pair.chosen.ids != pair.rejected.ids, max_length)


def collate_preferences(rows: Sequence[EncodedPreference], fill: int) -> PreferenceBatch:
    chosen, chosen_mask = pad([row.chosen.ids for row in rows], fill)
    rejected, rejected_mask = pad([row.rejected.ids for row in rows], fill)
    return PreferenceBatch(
        chosen=chosen,
        chosen_mask=chosen_mask,
        rejected=rejected,
        rejected_mask=rejected_mask,
        margin=torch.tensor([row.margin for row in rows]),
    )

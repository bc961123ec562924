"""Text to tensors. A sequence is prompt ids + completion ids + EOS. Masks come from lengths,
never from ids: pad == eos is harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from rlhf.data.lengths import LongPrompts, shorten
from rlhf.data.records import DataError, Demonstration, Preference
from rlhf.types import DemonstrationBatch, PreferenceBatch, PromptBatch

Row = TypeVar("Row")
Ending = tuple[str, bool]  # a completion, and whether it ended (EOS follows)
DROP = LongPrompts()


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One sequence and where its completion begins; `cut` where it was longer than allowed,
    `long_prompt` where its prompt alone left no room for the completion."""

    ids: tuple[int, ...]
    prompt_length: int
    cut: bool = False
    long_prompt: bool = False


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


def encode_row(
    tokenizer: Any, prompt: str, endings: Sequence[Ending], max_length: int, *, truncate: bool
) -> list[Encoded]:
    """prompt + completion + EOS (where it ended) for each completion, cut on the right at
    `max_length` tokens (then there is no EOS).

    `truncate`: a prompt that alone fills `max_length` loses its left, so that the longest of the
    completions has room, or all of the prompt but its last token.
    """
    prompt_ids = encode_prompt(tokenizer, prompt)
    completions = [
        [*encode_text(tokenizer, text), *([eos_id(tokenizer)] if ended else [])]
        for text, ended in endings
    ]
    long = len(prompt_ids) >= max_length
    if long and truncate:
        room = max(1, max_length - max(map(len, completions)))
        prompt_ids = shorten(prompt_ids, room, tokenizer.bos_token_id)
    return [
        Encoded(
            ids=tuple([*prompt_ids, *completion][:max_length]),
            prompt_length=min(len(prompt_ids), max_length),
            cut=len(prompt_ids) + len(completion) > max_length,
            long_prompt=long,
        )
        for completion in completions
    ]


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


def collate_prompts(
    tokenizer: Any, prompts: Sequence[str], limit: int | None = None
) -> PromptBatch:
    """Of a prompt longer than `limit` tokens the last ones are read; its text stays whole."""
    rows = [encode_prompt(tokenizer, prompt) for prompt in prompts]
    if limit is not None:
        rows = [shorten(row, limit, tokenizer.bos_token_id) for row in rows]
    tokens, mask = pad(rows, pad_id(tokenizer), side="left")
    return PromptBatch(tokens=tokens, mask=mask, texts=tuple(prompts))


def encode_demonstrations(
    tokenizer: Any, rows: Sequence[Demonstration], max_length: int, long: LongPrompts = DROP
) -> list[Encoded]:
    """Rows whose prompt alone fills `max_length` are treated as `long` says: there is nothing of
    the completion to learn.

    Raises:
        DataError: no row has a completion left, or the rule is `error`.
    """
    truncate = long.rule == "truncate_left"
    encoded = [
        encode_row(tokenizer, r.prompt, [(r.completion, True)], max_length, truncate=truncate)[0]
        for r in rows
    ]
    _refuse(rows, encoded, max_length, long)
    return _with_room(encoded, lambda row: row.prompt_length < len(row.ids), max_length)


def _refuse(
    rows: Sequence[Demonstration | Preference],
    encoded: Sequence[Encoded],
    max_length: int,
    long: LongPrompts,
) -> None:
    prompts = [row.prompt for row, e in zip(rows, encoded, strict=True) if e.long_prompt]
    long.refuse(prompts, f"its prompt alone fills max_length={max_length} tokens")


def _with_room(rows: list[Row], has_room: Callable[[Row], bool], max_length: int) -> list[Row]:
    kept = [row for row in rows if has_room(row)]
    if rows and not kept:
        raise DataError(
            f"all {len(rows)} prompts are {max_length} tokens or longer, so nothing is left to"
            " learn: raise max_length, or set data.on_long_prompt=truncate_left"
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
    tokenizer: Any, rows: Sequence[Preference], max_length: int, long: LongPrompts = DROP
) -> list[EncodedPreference]:
    """Pairs that are the same after the cut at `max_length` are left out; DataError if all are. A
    pair whose prompt alone fills it is treated as `long` says; both sides keep one prompt."""
    encoded = []
    for row in rows:
        endings = [(row.chosen, row.chosen_ended), (row.rejected, row.rejected_ended)]
        chosen, rejected = encode_row(
            tokenizer, row.prompt, endings, max_length, truncate=long.rule == "truncate_left"
        )
        encoded.append(
            EncodedPreference(chosen=chosen, rejected=rejected, margin=row.margin or 0.0)
        )
    _refuse(rows, [pair.chosen for pair in encoded], max_length, long)
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

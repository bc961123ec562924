"""Ids to tensors, rows cut to a length. Masks come from lengths, never from ids: pad == eos is
harmless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from rlhf.data.conversations import ASSISTANT, Prompt, Turn
from rlhf.data.lengths import LongPrompts, shorten
from rlhf.data.records import DataError, Demonstration, Preference
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import Rendered, TemplateError
from rlhf.types import DemonstrationBatch, PreferenceBatch, PromptBatch

Row = TypeVar("Row")
DROP = LongPrompts()


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One conversation and where its last answer begins; `cut` where it was longer than allowed,
    `long_prompt` where its prompt alone left no room for the answer."""

    ids: tuple[int, ...]
    answers: tuple[tuple[int, int], ...]  # half-open ranges of the assistant's tokens
    prompt_length: int
    cut: bool = False
    long_prompt: bool = False


def encode_row(
    rendered: Sequence[Rendered], max_length: int, bos: int | None = None, *, truncate: bool
) -> list[Encoded]:
    """Conversations of one prompt, cut on the right at `max_length` tokens.

    `truncate`: a prompt that alone fills `max_length` loses its left (BOS aside), so that the
    longest of the answers has room, or all of the prompt but its last token.
    """
    longest = max(len(row.ids) - row.answers[-1][0] for row in rendered)
    return [_cut(row, max_length, longest, bos, truncate=truncate) for row in rendered]


def _cut(
    row: Rendered, max_length: int, longest: int, bos: int | None, *, truncate: bool
) -> Encoded:
    ids, prompt_length = row.ids, row.answers[-1][0]
    long, lost = prompt_length >= max_length, 0
    if long and truncate:
        prompt = shorten(ids[:prompt_length], max(1, max_length - longest), bos)
        lost = prompt_length - len(prompt)
        ids = [*prompt, *ids[prompt_length:]]
    moved = ((max(first - lost, 0), min(end - lost, max_length)) for first, end in row.answers)
    return Encoded(
        ids=tuple(ids[:max_length]),
        answers=tuple((first, end) for first, end in moved if first < end),
        prompt_length=min(prompt_length - lost, max_length),
        cut=len(ids) > max_length,
        long_prompt=long,
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


def collate_prompts(
    rendering: Rendering, prompts: Sequence[Prompt], limit: int | None = None
) -> PromptBatch:
    """Of a prompt longer than `limit` tokens the last ones are read; its text stays whole."""
    rows = rendering.prompts([prompt.turns for prompt in prompts])
    if limit is not None:
        rows = [shorten(row, limit, rendering.tokenizer.bos_token_id) for row in rows]
    tokens, mask = pad(rows, rendering.pad_id, side="left")
    return PromptBatch(tokens=tokens, mask=mask, prompts=tuple(prompts))


def encode_demonstrations(
    rendering: Rendering, rows: Sequence[Demonstration], max_length: int, long: LongPrompts = DROP
) -> list[Encoded]:
    """Rows whose prompt alone fills `max_length` are treated as `long` says: there is nothing of
    the completion to learn.

    Raises:
        DataError: the template refuses a row, no row has a completion left, or the rule is `error`.
    """
    rendered = _render(rendering, rows, [row.turns for row in rows], long)
    bos, truncate = rendering.tokenizer.bos_token_id, long.rule == "truncate_left"
    encoded = [encode_row([row], max_length, bos, truncate=truncate)[0] for row in rendered]
    _refuse(rows, encoded, max_length, long)
    return _with_room(encoded, lambda row: row.prompt_length < len(row.ids), max_length)


def _render(
    rendering: Rendering,
    rows: Sequence[Demonstration | Preference],
    conversations: Sequence[tuple[Turn, ...]],
    long: LongPrompts,
) -> list[Rendered]:
    """Raises DataError with the place of each row that the template refuses."""
    try:
        return rendering.conversations(conversations)
    except TemplateError:
        faults: dict[str, None] = {}
        for row, turns in zip(rows, conversations, strict=True):
            try:
                rendering.conversations([turns])
            except TemplateError as error:
                name = rendering.template.name
                faults[f"{long.place(row.prompt)}: data.template={name} refuses it: {error}"] = None
        raise DataError(faults) from None


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
    rows: Sequence[Encoded], fill: int, *, train_on_prompt: bool, turns: str = "all"
) -> DemonstrationBatch:
    """The loss counts the tokens of the assistant, each answer's stop token among them.

    Args:
        train_on_prompt: it counts all others too.
        turns: all, or only the last answer (last).
    """
    tokens, attention = pad([row.ids for row in rows], fill)
    loss_mask = attention.clone() if train_on_prompt else torch.zeros_like(attention)
    for i, row in enumerate(rows):
        for first, end in row.answers if turns == "all" else row.answers[-1:]:
            loss_mask[i, first:end] = True
    return DemonstrationBatch(tokens=tokens, attention=attention, loss_mask=loss_mask)


@dataclass(frozen=True, kw_only=True)
class EncodedPreference:
    chosen: Encoded
    rejected: Encoded
    margin: float


def encode_preferences(
    rendering: Rendering, rows: Sequence[Preference], max_length: int, long: LongPrompts = DROP
) -> list[EncodedPreference]:
    """Pairs that are the same after the cut at `max_length` are left out; DataError if all are. A
    pair whose prompt alone fills it is treated as `long` says; both sides keep one prompt."""
    sides = [
        _render(rendering, rows, [_answered(row, side) for row in rows], long)
        for side in ("chosen", "rejected")
    ]
    bos, truncate = rendering.tokenizer.bos_token_id, long.rule == "truncate_left"
    encoded = []
    for row, chosen, rejected in zip(rows, *sides, strict=True):
        pair = [
            whole if ended else _unended(whole)
            for whole, ended in ((chosen, row.chosen_ended), (rejected, row.rejected_ended))
        ]
        first, second = encode_row(pair, max_length, bos, truncate=truncate)
        encoded.append(EncodedPreference(chosen=first, rejected=second, margin=row.margin or 0.0))
    _refuse(rows, [pair.chosen for pair in encoded], max_length, long)
    return _with_room(encoded, lambda pair: pair.chosen.ids != pair.rejected.ids, max_length)


def _answered(row: Preference, side: str) -> tuple[Turn, ...]:
    return (*row.prompt, Turn(ASSISTANT, getattr(row, side)))


def _unended(row: Rendered) -> Rendered:
    """The conversation up to the end of its last answer's content: no stop token follows."""
    end = row.ends[-1]
    last = (row.answers[-1][0], end)
    return Rendered(ids=row.ids[:end], answers=(*row.answers[:-1], last), ends=row.ends)


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

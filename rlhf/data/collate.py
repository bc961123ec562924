"""Ids to tensors, rows cut to a length. Masks come from lengths, never from ids: pad == eos is
harmless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from rlhf.data.conversations import ASSISTANT, Prompt, Turn
from rlhf.data.lengths import FATES, Fate, Limit, LongPrompts, shorten
from rlhf.data.records import DataError, Demonstration, Preference
from rlhf.data.rendering.kept import PromptIds
from rlhf.data.rendering.rendering import Rendering
from rlhf.data.rendering.spans import Rendered, TemplateError
from rlhf.types import DemonstrationBatch, PairBatch, PreferenceBatch, PromptBatch


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One conversation and where its last answer begins, after its limit; `fate` is that of its
    row, `whole` its tokens before the limit and `whole_prompt` those before its last answer."""

    ids: tuple[int, ...]
    answers: tuple[tuple[int, int], ...]  # half-open ranges of the assistant's tokens
    prompt_length: int
    fate: Fate
    whole: int
    whole_prompt: int

    @property
    def cut(self) -> bool:
        """Whether its end is lost."""
        return len(self.ids) - self.prompt_length < self.whole - self.whole_prompt


def encode_row(rendered: Sequence[Rendered], limit: Limit, bos: int | None = None) -> list[Encoded]:
    """Conversations of one prompt, made to fit the limit as its rule says; a BOS at their head
    stays there."""
    longest = max(len(row.ids) - row.answers[-1][0] for row in rendered)
    return [_fitted(row, limit, longest, bos) for row in rendered]


def _fitted(row: Rendered, limit: Limit, longest: int, bos: int | None) -> Encoded:
    prompt = row.answers[-1][0]
    fit = limit.fit(prompt, longest, head=int(bos is not None and row.ids[0] == bos))
    moved = [fit.move(*answer) for answer in row.answers]
    return Encoded(
        ids=tuple(fit(row.ids)),
        answers=tuple((first, end) for first, end in moved if first < end),
        prompt_length=min(prompt - fit.left, limit.most),
        fate=fit.fate,
        whole=len(row.ids),
        whole_prompt=prompt,
    )


def pad(rows: Sequence[Sequence[int]], fill: int, *, side: str = "right") -> tuple[Tensor, Tensor]:
    """Rows of ids to (tokens [B, L] long, mask [B, L] bool)."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    places = torch.arange(width)
    before = width - lengths if side == "left" else torch.zeros_like(lengths)
    mask = (places >= before[:, None]) & (places < (before + lengths)[:, None])
    tokens = torch.full(mask.shape, fill, dtype=torch.long)
    tokens[mask] = torch.tensor([*chain.from_iterable(rows)], dtype=torch.long)
    return tokens, mask


def collate_prompts(
    rendering: Rendering,
    prompts: Sequence[Prompt],
    limit: int | None = None,
    ids: PromptIds | None = None,
) -> PromptBatch:
    """Of a prompt longer than `limit` tokens the last ones are read; its text stays whole. `ids`:
    the rendering's, remembered."""
    rows: Sequence[Sequence[int]] = (ids or rendering.prompts)([p.turns for p in prompts])
    if limit is not None:
        rows = [shorten(row, limit, rendering.tokenizer.bos_token_id) for row in rows]
    tokens, mask = pad(rows, rendering.pad_id, side="left")
    return PromptBatch(tokens=tokens, mask=mask, prompts=tuple(prompts))


def encode_demonstrations(
    rendering: Rendering, rows: Sequence[Demonstration], limit: Limit
) -> list[Encoded]:
    """Every row, with its fate.

    Raises:
        DataError: the template refuses a row.
    """
    rendered = _render(rendering, rows, [row.turns for row in rows], limit.long)
    bos = rendering.tokenizer.bos_token_id
    return [encode_row([row], limit, bos)[0] for row in rendered]


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


def collate_demonstrations(
    rows: Sequence[Encoded], fill: int, *, train_on_prompt: bool, turns: str = "all"
) -> DemonstrationBatch:
    """The loss counts the tokens of the assistant, each answer's stop token among them.

    Args:
        train_on_prompt: it counts all others too.
        turns: all, or only the last answer (last).
    """
    tokens, attention = pad([row.ids for row in rows], fill)
    answers = [row.answers if turns == "all" else row.answers[-1:] for row in rows]
    loss_mask = attention.clone() if train_on_prompt else within(answers, tokens.shape[1])
    return DemonstrationBatch(tokens=tokens, attention=attention, loss_mask=loss_mask)


def within(ranges: Sequence[Sequence[tuple[int, int]]], width: int) -> Tensor:
    """[B, width] bool: True inside of each row's half-open ranges, which do not overlap."""
    every = [(row, *each) for row, own in enumerate(ranges) for each in own]
    steps = torch.zeros(len(ranges), width + 1, dtype=torch.long)
    if every:
        row, first, end = torch.tensor(every).T
        ones = torch.ones_like(row)
        steps.index_put_((row, first), ones, accumulate=True)
        steps.index_put_((row, end), -ones, accumulate=True)
    return steps.cumsum(dim=1)[:, :width] > 0


@dataclass(frozen=True, kw_only=True)
class EncodedPreference:
    chosen: Encoded
    rejected: Encoded
    margin: float

    @property
    def same(self) -> bool:
        return self.chosen.ids == self.rejected.ids

    @property
    def fate(self) -> Fate:
        if self.same:
            return "dropped"
        return max(self.chosen.fate, self.rejected.fate, key=FATES.index)


def encode_preferences(
    rendering: Rendering, rows: Sequence[Preference], limit: Limit
) -> list[EncodedPreference]:
    """Every pair, with its fate: both sides keep one prompt, and a pair whose sides are the same
    after the limit is dropped.

    Raises:
        DataError: the template refuses a row.
    """
    sides = [
        _render(rendering, rows, [_answered(row, side) for row in rows], limit.long)
        for side in ("chosen", "rejected")
    ]
    bos, encoded = rendering.tokenizer.bos_token_id, []
    for row, chosen, rejected in zip(rows, *sides, strict=True):
        pair = [
            whole if ended else _unended(whole)
            for whole, ended in ((chosen, row.chosen_ended), (rejected, row.rejected_ended))
        ]
        first, second = encode_row(pair, limit, bos)
        encoded.append(EncodedPreference(chosen=first, rejected=second, margin=row.margin or 0.0))
    return encoded


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


def collate_pairs(rows: Sequence[EncodedPreference], fill: int) -> PairBatch:
    """Both texts of each pair, and which of their tokens are the answer: its stop token among them
    where it ended."""
    sides = [side for row in rows for side in (row.chosen, row.rejected)]
    tokens, attention = pad([side.ids for side in sides], fill)
    answers = within([side.answers[-1:] for side in sides], tokens.shape[1])
    shape = (len(rows), 2, -1)
    return PairBatch(
        tokens=tokens.view(shape), attention=attention.view(shape), answers=answers.view(shape)
    )

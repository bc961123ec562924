"""Text to tensors. A sequence is prompt ids + completion ids + EOS. Masks come from lengths,
never from ids: pad == eos is harmless."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rlhf.data.lengths import Fate, Limit, shorten
from rlhf.data.records import Demonstration, Preference
from rlhf.types import DemonstrationBatch, PreferenceBatch, PromptBatch

Ending = tuple[str, bool]  # a completion, and whether it ended (EOS follows)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One sequence and where its completion begins, after its limit; `fate` is that of its row, and
    `whole` its tokens before the limit, `whole_prompt` of its prompt alone."""

    ids: tuple[int, ...]
    prompt_length: int
    fate: Fate
    whole: int
    whole_prompt: int

    @property
    def cut(self) -> bool:
        """Whether its end is lost."""
        return len(self.ids) - self.prompt_length < self.whole - self.whole_prompt


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
    tokenizer: Any, prompt: str, endings: Sequence[Ending], limit: Limit
) -> list[Encoded]:
    """prompt + completion + EOS (where it ended) for each completion, made to fit the limit as its
    rule says; one that lost its end has no EOS."""
    prompt_ids = encode_prompt(tokenizer, prompt)
    completions = [
        [*encode_text(tokenizer, text), *([eos_id(tokenizer)] if ended else [])]
        for text, ended in endings
    ]
    head = int(prompt_ids[0] == tokenizer.bos_token_id)
    fit = limit.fit(len(prompt_ids), [*map(len, completions)], head)
    return [
        Encoded(
            ids=tuple(fit([*prompt_ids, *completion])),
            prompt_length=min(len(prompt_ids) - fit.left, limit.most),
            fate=fit.fate,
            whole=len(prompt_ids) + len(completion),
            whole_prompt=len(prompt_ids),
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
    tokenizer: Any, rows: Sequence[Demonstration], limit: Limit
) -> list[Encoded]:
    """Every row, with its fate."""
    return [encode_row(tokenizer, r.prompt, [(r.completion, True)], limit)[0] for r in rows]


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

    @property
    def same(self) -> bool:
        return self.chosen.ids == self.rejected.ids

    @property
    def fate(self) -> Fate:
        return "dropped" if self.same else self.chosen.fate


def encode_preferences(
    tokenizer: Any, rows: Sequence[Preference], limit: Limit
) -> list[EncodedPreference]:
    """Every pair, with its fate: both sides keep one prompt, and a pair whose sides are the same
    after the limit is dropped."""
    encoded = []
    for row in rows:
        endings = [(row.chosen, row.chosen_ended), (row.rejected, row.rejected_ended)]
        chosen, rejected = encode_row(tokenizer, row.prompt, endings, limit)
        encoded.append(
            EncodedPreference(chosen=chosen, rejected=rejected, margin=row.margin or 0.0)
        )
    return encoded


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

"""Labelled rows as ids, for the stages that learn from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rlhf.data.collate import (
    Encoded,
    EncodedPreference,
    encode_demonstrations,
    encode_preferences,
)
from rlhf.data.records import Split
from rlhf.randomness import generator
from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)


def _sides(row: Encoded | EncodedPreference) -> tuple[Encoded, ...]:
    return (row,) if isinstance(row, Encoded) else (row.chosen, row.rejected)


# stage -> the part of the data and how it is encoded
ENCODE: dict[str, tuple[str, Callable[..., list[Any]]]] = {
    "sft": ("demonstrations", encode_demonstrations),
    "reward_model": ("preferences", encode_preferences),
}


@dataclass(frozen=True, kw_only=True)
class EncodedRows:
    """Rows as ids; of those to train on also how many lost their end, lost the left of their
    prompt, or were left out."""

    train: Sequence[Any]
    heldout: Sequence[Any]
    cut: int
    truncated: int
    dropped: int

    @property
    def counts(self) -> dict[str, int]:
        return {
            "rows": len(self.train),
            "rows_cut": self.cut,
            "rows_dropped": self.dropped,
            "prompts_truncated": self.truncated,
        }


def encoded_rows(context: StageContext, stage: str, rows: Split[Any]) -> EncodedRows:
    """The stage's rows, at most `<stage>.max_length` tokens each, encoded once a run.

    Raises:
        DataError: the rule for long prompts is `error` and there are some, or no row is left.
    """
    if stage not in context.rows:
        context.rows[stage] = _encode(context, stage, rows)
    encoded: EncodedRows = context.rows[stage]
    return encoded


def drawn_rows(rows: Sequence[Any], most: int | None, stage: str, seed: int) -> Sequence[Any]:
    """At most so many of the rows, drawn by the stage's seed, in the order that they had."""
    if most is None or most >= len(rows):
        return rows
    order = torch.randperm(len(rows), generator=generator(seed, stage, "rows"))
    return [rows[i] for i in sorted(order[:most].tolist())]


def _encode(context: StageContext, stage: str, rows: Split[Any]) -> EncodedRows:
    part, encode = ENCODE[stage]
    settings, long = getattr(context.cfg, stage), context.long_prompts(part)
    most, chosen = (
        settings.max_length,
        drawn_rows(rows.train, settings.max_rows, stage, settings.seed),
    )
    train, heldout = (
        encode(context.tokenizer, side, most, long) for side in (chosen, rows.heldout)
    )
    encoded = EncodedRows(
        train=train,
        heldout=heldout,
        cut=sum(any(side.cut for side in _sides(row)) for row in train),
        truncated=sum(_sides(row)[0].long_prompt for row in train),
        dropped=len(chosen) - len(train),
    )
    if encoded.cut or encoded.truncated or encoded.dropped:
        log.warning(
            "%s: of %d rows %d are cut at %s.max_length=%d, %d have lost the left of their prompt"
            " and %d are left out (nothing to learn is left of them)",
            *(stage, len(chosen), encoded.cut, stage, most, encoded.truncated, encoded.dropped),
        )
    return encoded

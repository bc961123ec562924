"""Labelled rows as ids, for the stages that learn from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch

from rlhf.at_once import AtOnce
from rlhf.config.schema import Supervised
from rlhf.data.collate import (
    Encoded,
    EncodedPreference,
    encode_demonstrations,
    encode_preferences,
)
from rlhf.data.conversations import Prompt
from rlhf.data.lengths import Limit
from rlhf.data.records import DataError, Record, Split
from rlhf.randomness import generator
from rlhf.stages.context import StageContext
from rlhf.stages.inputs import Inputs

log = logging.getLogger(__name__)

Row = Encoded | EncodedPreference

# stage -> the part of the data and how it is encoded
ENCODE: dict[str, tuple[str, Callable[..., list[Any]]]] = {
    "sft": ("demonstrations", encode_demonstrations),
    "reward_model": ("preferences", encode_preferences),
}
# part of the data -> the stage whose settings (`max_length`, `on_long`, `max_rows`) say which rows
# of it are learned from, and how they are cut
ROWS_OF = {part: stage for stage, (part, _) in ENCODE.items()}


def sides(row: Row) -> tuple[Encoded, ...]:
    return (row,) if isinstance(row, Encoded) else (row.chosen, row.rejected)


def tokens_of(row: Row) -> int:
    """Tokens of a row; of a pair those of both sides."""
    return sum(len(side.ids) for side in sides(row))


def at_once(settings: Supervised) -> AtOnce:
    """Rows of a stage, or pairs, that go through its network at once."""
    return AtOnce(rows=settings.micro_batch_size, tokens=settings.micro_batch_tokens)


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


def limit_of(context: Inputs, stage: str) -> Limit:
    """The limit of a stage's rows."""
    settings = getattr(context.cfg, stage)
    return Limit(
        most=settings.max_length,
        rule=settings.on_long,
        long=context.long_prompts(ENCODE[stage][0]),
        stage=stage,
    )


def row_place(context: Inputs, part: str) -> Callable[[Record], str]:
    """Where a row of a part of the data stands, in words."""
    exact, prompts = getattr(context.source, "row_place", None), context.long_prompts(part)

    def place(record: Record) -> str:
        if isinstance(record, Prompt):
            return prompts.place(record.turns)
        return (exact and exact(part, record)) or prompts.place(record.prompt)

    return place


def pairs_part(context: StageContext) -> Any:
    """What decides the preference pairs; of those that are sampled from the SFT policy and labelled
    by gold, the source's own settings."""
    if context.data.preferences is None:
        return context.deciding("data", without=("path",))
    return context.data.preferences.fingerprint


def sampled_part(context: StageContext) -> dict[str, Any]:
    """What decides the responses that are drawn from the SFT policy for the reward model, beside
    that policy and their number."""
    return {
        "prompts": context.fitted.prompts.fingerprint,
        "max_new_tokens": context.cfg.generation.max_new_tokens,
        "stop": list(context.cfg.generation.stop),
        "limit": context.fitted.limit if context.fitted.truncated else None,
    }


def encoded_rows(context: StageContext, stage: str, rows: Split[Any]) -> EncodedRows:
    """The stage's rows, at most `<stage>.max_length` tokens each, encoded once a run.

    Raises:
        DataError: a rule is `error` and there are rows that are too long, or no row is left.
    """
    if stage not in context.rows:
        context.rows[stage] = _encode(context, stage, rows)
    encoded: EncodedRows = context.rows[stage]
    return encoded


def drawn_rows(rows: tuple[Any, ...], most: int | None, stage: str, seed: int) -> tuple[Any, ...]:
    """At most so many of the rows, drawn by the stage's seed, in the order that they had."""
    if most is None or most >= len(rows):
        return rows
    order = torch.randperm(len(rows), generator=generator(seed, stage, "rows"))
    return tuple(rows[i] for i in sorted(order[:most].tolist()))


def _encode(context: StageContext, stage: str, rows: Split[Any]) -> EncodedRows:
    settings = getattr(context.cfg, stage)
    rows = replace(rows, train=drawn_rows(rows.train, settings.max_rows, stage, settings.seed))
    limit, (part, encode) = limit_of(context, stage), ENCODE[stage]
    every = [encode(context.rendering, side, limit) for side in (rows.train, rows.heldout)]
    both = zip([*rows.train, *rows.heldout], chain(*every), strict=True)
    place = row_place(context, part)
    limit.refuse(_measured(place(row), encoded) for row, encoded in both)
    train, heldout = ([row for row in side if row.fate != "dropped"] for side in every)
    kept = {"rows to train on": (every[0], train), "held-out rows": (every[1], heldout)}
    for name, (before, after) in kept.items():
        if before and not after:
            raise DataError(_none_left(limit, before, name))
    encoded_both = EncodedRows(
        train=train,
        heldout=heldout,
        cut=sum(any(side.cut for side in sides(row)) for row in train),
        truncated=sum(row.fate == "truncated" for row in train),
        dropped=len(rows.train) - len(train),
    )
    if encoded_both.cut or encoded_both.truncated or encoded_both.dropped:
        log.warning(
            "%s: of %d rows %d are cut at %s=%d, %d have lost the left of their prompt"
            " and %d are left out (too long, or nothing to learn is left of them)",
            *(stage, len(rows.train), encoded_both.cut, limit.setting, limit.most),
            *(encoded_both.truncated, encoded_both.dropped),
        )
    return encoded_both


def _measured(place: str, encoded: Row) -> tuple[str, int, int]:
    both = sides(encoded)
    return place, both[0].whole_prompt, max(side.whole for side in both)


def _none_left(limit: Limit, rows: Sequence[Row], name: str) -> str:
    shortest = min(max(side.whole for side in sides(row)) for row in rows)
    return (
        f"of {len(rows)} {name} none has anything left to learn at {limit.setting}={limit.most}"
        f" tokens: raise {limit.setting} (the shortest has {shortest}), or set"
        f" {limit.stage}.on_long=truncate_left"
    )

"""How many rows there are, and how long. In characters: tokens are known only to a tokenizer, which
takes seconds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from rlhf.data.records import Split, TaskData

CHARACTERS = 4.0  # a token of English text, in the vocabularies of pretrained models
SHORTEST = 3.0  # the same of text that has many tokens for its length


@dataclass(frozen=True, kw_only=True)
class PartSize:
    """A part of the data."""

    train: int  # rows
    heldout: int
    longest: int  # characters
    mean: float
    texts: int | None = None  # of pairs: those that differ, held out too

    def longest_tokens(self, limit: int) -> int:
        return max(2, min(limit, math.ceil(self.longest / SHORTEST)))

    def mean_tokens(self, limit: int) -> float:
        return max(2.0, min(limit, self.mean / CHARACTERS))


@dataclass(frozen=True, kw_only=True)
class DataSize:
    """None: there is no such part, or nobody has read it."""

    demonstrations: PartSize | None = None
    preferences: PartSize | None = None
    prompts: PartSize | None = None


def size_of(data: TaskData) -> DataSize:
    """Of a pair the longer text counts."""
    return DataSize(
        **{
            name: _part(getattr(data, name))
            for name in ("demonstrations", "preferences", "prompts")
        }
    )


def _part(split: Split[Any] | None) -> PartSize | None:
    if split is None or not split.train:
        return None
    lengths = [*map(_characters, split.train)]
    return PartSize(
        train=len(split.train),
        heldout=len(split.heldout),
        longest=max(lengths),
        mean=sum(lengths) / len(lengths),
        texts=_different([*split.train, *split.heldout]),
    )


def _different(rows: Sequence[Any]) -> int | None:
    """The texts of pairs that differ: a frozen backbone reads each once."""
    if not hasattr(rows[0], "chosen"):
        return None
    return len({(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)})


def _characters(row: Any) -> int:
    """The text of a row: of a pair prompt and longer answer, of anything else all of it."""
    if hasattr(row, "chosen"):
        return _text(row.prompt) + max(_text(row.chosen), _text(row.rejected))
    return _text(getattr(row, "text", row))  # of a prompt not the answer that judges know


def _text(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    parts: Iterable[Any] = value if isinstance(value, (tuple, list)) else ()
    if is_dataclass(value):
        parts = [getattr(value, field.name) for field in fields(value)]
    return sum(map(_text, parts))

"""The counts of a report, from conversations and the tokens of sequences. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, TypeVar

from rlhf.data.conversations import (
    ASSISTANT,
    Prompt,
    Turn,
    Turns,
    alternation_fault,
    same_key,
    split_key,
)
from rlhf.data.records import Record, Split
from rlhf.data.report.values import Limited, Part, Spread, ranked

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A row of any part: what is answered, and no answer, the demonstrated one, or the chosen and
    the rejected."""

    turns: Turns
    answers: tuple[str, ...] = ()

    @property
    def whole(self) -> Turns:
        return (*self.turns, *(Turn(ASSISTANT, answer) for answer in self.answers[:1]))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The tokens of a row: of its prompt, and of each of its sequences, the prompt among them."""

    prompt: int
    sequences: tuple[int, ...]
    fate: str = "whole"
    same: bool = False


def conversation(record: Record) -> Conversation:
    """The record as the report sees it."""
    if isinstance(record, Prompt):
        return Conversation(turns=record.turns)
    return Conversation(turns=record.prompt, answers=record.answers)


def sample(rows: Sequence[T], most: int) -> list[T]:
    """At most so many rows, evenly spaced over all."""
    if len(rows) <= most:
        return [*rows]
    return [rows[i * len(rows) // most] for i in range(most)]


def count_part(
    name: str,
    split: Split[Any],
    measured: Sequence[Measured],
    place: Callable[[Any], str] = str,
) -> Part:
    """A part's counts; `place` says in words where a record stands."""
    records = [*split.train, *split.heldout]
    rows = [conversation(record) for record in records]
    odd = [
        (record, fault)
        for record, row in zip(records, rows, strict=True)
        if (fault := alternation_fault(row.whole))
    ]
    return Part(
        name=name,
        rows=len(split.train),
        heldout=len(split.heldout),
        turns=Spread.of([len(row.whole) for row in rows]),
        tokens=Spread.of([length for row in measured for length in row.sequences]),
        prompt_tokens=Spread.of([row.prompt for row in measured]),
        measured=len(measured),
        duplicates=len(rows) - len({(row.turns, row.answers) for row in rows}),
        duplicates_but_for_spaces=len(rows) - len({*map(_collapsed, rows)}),
        not_alternating=len(odd),
        first_odd=f"{place(odd[0][0])}: {odd[0][1]}" if odd else "",
    )


def _collapsed(row: Conversation) -> tuple[Any, ...]:
    return same_key(row.turns), tuple(" ".join(answer.split()) for answer in row.answers)


def count_limit(
    stage: str,
    part: str,
    measured: Sequence[Measured],
    *,
    bound: str,
    limit: int | None,
    rule: str,
    max_lost: float,
) -> Limited:
    """What the limit does to the measured rows, and which limit would be enough."""
    lengths = sorted(max(row.sequences) for row in measured)
    fates = [row.fate for row in measured]
    return Limited(
        stage=stage,
        part=part,
        bound=bound,
        limit=limit,
        rule=rule,
        rows=len(measured),
        cut=fates.count("cut"),
        truncated=fates.count("truncated"),
        dropped=fates.count("dropped"),
        same=sum(row.same for row in measured),
        tokens=Spread.of(lengths),
        enough=ranked(lengths, 1 - max_lost) if lengths else 0,
    )


def prompts_in_common(
    parts: Mapping[str, Split[Any]],
) -> tuple[dict[str, int], dict[str, int]]:
    """How many prompts are on both sides of the split, within a part (its name) and across two (`a,
    b`: to train on in a, held out in b); and how many two parts share. A prompt is known by the
    key that decides its side."""
    train = {name: _keys(split.train) for name, split in parts.items()}
    held = {name: _keys(split.heldout) for name, split in parts.items()}
    both = {(a if a == b else f"{a}, {b}"): len(train[a] & held[b]) for a in parts for b in parts}
    shared = {
        f"{a}, {b}": len((train[a] | held[a]) & (train[b] | held[b]))
        for a, b in combinations(parts, 2)
    }
    return both, shared


def _keys(records: Iterable[Any]) -> set[str]:
    return {split_key(conversation(record).turns) for record in records}

"""The formats of rows, told by their columns. Other columns are passed over."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from rlhf.data.readers.values import RowError, quoted

Purpose = Literal["demonstrations", "preferences", "prompts"]
Format = tuple[str, ...]  # the columns it needs

PAIRS: tuple[Format, ...] = (
    ("prompt", "chosen", "rejected"),
    ("messages", "chosen", "rejected"),
    ("conversations", "chosen", "rejected"),
    ("instruction", "chosen", "rejected"),
    ("instruction", "output_1", "output_2", "preference"),
    ("chosen", "rejected"),
)
FORMATS: dict[Purpose, tuple[Format, ...]] = {
    "demonstrations": (
        *PAIRS,
        ("prompt", "completion"),
        ("instruction", "output"),
        ("messages",),
        ("conversations",),
        ("text",),
    ),
    "preferences": PAIRS,
    "prompts": (
        ("prompt",),
        ("instruction",),
        ("messages",),
        ("conversations",),
        ("chosen", "rejected"),
        ("text",),
    ),
}
# read beside a format's own where a row has them
REFERENCES = ("reference", "answer", "final_answer", "gold")
BESIDE = ("input", "context", "system", "margin", "votes_chosen", "votes_total", "label")
VERDICTS = ("true", "false", "1", "0", "1.0", "0.0")  # as CSV and tables with gaps have them
COLUMNS = tuple(
    dict.fromkeys(
        [column for each in FORMATS.values() for keys in each for column in keys]
        + [*BESIDE, *REFERENCES]
    )
)


def detect(row: Mapping[str, Any], purpose: Purpose) -> Format:
    """The first format whose columns are all there. Where none is: RowError about the one that is
    nearest."""
    if purpose != "prompts":
        refuse_labels(row)
    formats = FORMATS[purpose]
    for keys in formats:
        if all(key in row for key in keys):
            return keys
    has = quoted(row) or "nothing"
    spare = [key for key in row if not any(key in keys for keys in formats)]

    def meant(keys: Format) -> list[str]:
        """The row's columns that are nearly one that is missing; each for one of them."""
        names, left = [], [*spare]
        for key in keys:
            if key not in row and (near := difflib.get_close_matches(key, left, n=1)):
                names += near
                left.remove(near[0])
        return names

    def nearness(keys: Format) -> float:
        lost = sum(key not in row for key in keys)
        return len(keys) - 1.25 * lost + len(meant(keys))

    best = max(formats, key=nearness)
    if nearness(best) <= 0:
        raise RowError(
            f"no known format: the row has {has}; {purpose} need"
            f" {' or '.join('+'.join(keys) for keys in formats)}, or data.columns to say which"
            " column is which"
        )
    lost = [key for key in best if key not in row]
    near = meant(best)
    hint = (
        f"; did you write {quoted(near, ' and ')} for {'it' if len(lost) == 1 else 'them'}?"
        if near
        else ""
    )
    raise RowError(f"missing {quoted(lost, ' and ')}: the row has {has}{hint}")


def refuse_labels(row: Mapping[str, Any]) -> None:
    """RowError for rows that hold one answer and a verdict on it, or on its steps: neither a pair
    nor, where the verdict is bad, a demonstration."""
    if {"prompt", "completions", "labels"} <= row.keys():
        raise RowError(
            'has "completions" and "labels": verdicts on the steps of one answer, which no stage'
            " learns from; make rows of prompt+completion of the right ones"
        )
    label = row.get("label")
    verdict = isinstance(label, int) or str(label).strip().lower() in VERDICTS
    if {"prompt", "completion", "label"} <= row.keys() and verdict:
        raise RowError(
            'has "prompt", "completion" and "label": one answer with a verdict (KTO), and a reward'
            " model needs two answers to one prompt; join a good and a bad answer to each prompt"
            " into prompt+chosen+rejected, or keep the good ones and set data.columns={label: null}"
            " to learn from them as demonstrations"
        )

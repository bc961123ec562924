"""Conversations whose contents spell out special tokens: those are text, as transformers'
`apply_chat_template(sanitize_control_tokens=True)` has it. No torch here."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from rlhf.data.conversations import Turn, Turns
from rlhf.data.rendering.spans import Span

# transformers marks a token in a content by these two, and drops them from contents
START, END = "\U000f0000", "\U000f0001"


class Tokenized(NamedTuple):
    text: str
    ids: list[int]
    offsets: list[Span]  # of each id, in characters


def control_tokens(tokenizer: Any, template: str) -> re.Pattern[str]:
    """The tokens that a content may not give: the special ones and those that the template writes,
    the longest first."""
    names = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content in template and not token.content.isspace())
    ]
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def clean(turns: Turns) -> Turns:
    """The turns without characters that would pass for marks."""
    marks = str.maketrans("", "", START + END)
    return tuple(Turn(turn.role, turn.content.translate(marks)) for turn in turns)


def mark(turns: Turns, control: re.Pattern[str]) -> Turns:
    """The turns with a mark before and after each token that a content spells."""
    return tuple(
        Turn(turn.role, control.sub(f"{START}\\g<0>{END}", turn.content)) for turn in turns
    )


def encode(tokenizer: Any, rendered: str, control: re.Pattern[str]) -> Tokenized:
    """The ids of rendered marked turns and where they stand in the text without marks: what is
    marked is read as text, what lies between marks is read on its own."""
    pieces = re.split(f"{START}({control.pattern}){END}|[{START}{END}]", rendered)
    text, ids, offsets = "", list[int](), list[Span]()
    for i, piece in enumerate(pieces):
        if piece:
            part, spans = _piece(tokenizer, piece, first=i == 0, as_text=i % 2 == 1)
            ids += part
            offsets += [(a + len(text), b + len(text)) for a, b in spans]
            text += piece
    return Tokenized(text, ids, offsets)


def _piece(
    tokenizer: Any, piece: str, *, first: bool, as_text: bool
) -> tuple[list[int], list[Span]]:
    """Later pieces are read after a line break, which is taken away: no space is put before."""

    def read(text: str) -> tuple[list[int], list[Span]]:
        encoded = tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=as_text,
            return_offsets_mapping=True,
        )
        return list(encoded["input_ids"]), list(encoded["offset_mapping"])

    if not first:
        break_ids = read("\n")[0]
        ids, spans = read("\n" + piece)
        if ids[: len(break_ids)] == break_ids:
            rest = spans[len(break_ids) :]
            return ids[len(break_ids) :], [(max(a - 1, 0), max(b - 1, 0)) for a, b in rest]
    return read(piece)

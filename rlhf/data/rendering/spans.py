"""Which characters of a rendered conversation are its contents, which the assistant wrote, and
which tokens those are. Pure; no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rlhf.data.conversations import ASSISTANT, Turn, Turns

MARK = "\ue0f0{}\ue0f1"
MARKED = re.compile("\ue0f0(\\d+)\ue0f1")
# templates trim what they are given in one of these ways
TRIMS: tuple[Callable[[str], str], ...] = (
    lambda text: text,
    str.strip,
    str.lstrip,
    str.rstrip,
    lambda text: text.strip("\n"),
    lambda text: text.lstrip("\n"),
    lambda text: text.rstrip("\n"),
)
Skeleton = list[str]  # literal, index of a turn, literal, index, ..., literal
Span = tuple[int, int]  # half-open


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A conversation as ids. `answers`: half-open ranges of the assistant's tokens, a stop token
    after each among them; `ends`: of each the index after its content, before the stop token."""

    ids: list[int]
    answers: tuple[Span, ...]
    ends: tuple[int, ...]


class TemplateError(ValueError):
    """The template refuses a conversation, or nothing says which of its tokens the assistant
    wrote."""


def encoded(tokenizer: Any, texts: str | Sequence[str], **options: Any) -> Any:
    """What the tokenizer makes of texts, without special tokens of its own.

    Raises:
        TemplateError: it has no token for some of it, and none that stands for the unknown.
    """
    try:
        return tokenizer(texts, add_special_tokens=False, **options)
    except Exception as error:
        if type(error) is not Exception:  # what the library `tokenizers` raises is just that
            raise
        raise TemplateError(f"the tokenizer has no token for some of it ({error})") from None


class Answer(NamedTuple):
    """Half-open range of characters: all that the assistant writes of a turn, but what ends it. It
    begins where the template's generation prompt ends. `after`: where the next content begins."""

    start: int
    end: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What a template writes around the contents of turns with certain roles. `leads`: by turn,
    what it writes between the generation prompt and the answer's content (a space, an empty block
    of thoughts)."""

    bones: Skeleton
    leads: Mapping[int, str]


def marked(turns: Turns) -> Turns:
    """The turns with a mark in place of each content."""
    return tuple(Turn(turn.role, MARK.format(i)) for i, turn in enumerate(turns))


def skeleton(rendered: str, turns: Turns) -> Skeleton:
    """What a template writes around the contents: `rendered` is that of marked turns.

    Raises:
        TemplateError: it leaves out a turn.
    """
    bones = MARKED.split(rendered)
    kept = set(map(int, bones[1::2]))
    for i, turn in enumerate(turns):
        if i not in kept:
            raise TemplateError(f"it leaves out turn {i + 1}, the {turn.role}'s")
    return bones


def lead(bones: Skeleton, turn: int, before: str, opening: str) -> str:
    """What stands between the generation prompt and the content of an answer.

    Args:
        before: the last literal of the conversation up to the answer, ready to be answered.
        opening: the generation prompt of a first question, where that literal is another.
    """
    literal = bones[bones.index(str(turn), 1) - 1]
    if literal.startswith(before):
        return literal[len(before) :]
    at = literal.rfind(opening) if opening else -1
    return "" if at < 0 or before.startswith(literal) else literal[at + len(opening) :]


def contents(text: str, bones: Skeleton, turns: Turns) -> list[tuple[int, int, int]] | None:
    """(turn, start, end) of each content in its rendered text; None where the template writes
    something else than the contents between its own words."""
    if not text.startswith(bones[0]):
        return None
    at, spans = len(bones[0]), []
    for i in range(1, len(bones), 2):
        turn, literal = int(bones[i]), bones[i + 1]
        for trim in TRIMS:
            content = trim(turns[turn].content)
            if text.startswith(content + literal, at):
                break
        else:
            return None
        spans.append((turn, at, at + len(content)))
        at += len(content) + len(literal)
    return spans if at == len(text) else None


def answers(
    text: str, spans: Sequence[tuple[int, int, int]], turns: Turns, leads: Mapping[int, str]
) -> list[Answer]:
    """Of each turn of the assistant, by the spans of all contents."""
    nexts = [*(start for _, start, _ in spans[1:]), len(text)]
    return [
        Answer(start - len(leads[turn]), end, after)
        for (turn, start, end), after in zip(spans, nexts, strict=True)
        if turns[turn].role == ASSISTANT
    ]


def tokens_of(answer: Answer, offsets: Sequence[Span]) -> Span:
    """The half-open range of the tokens that hold a character of the answer. One that began before
    it (a space that the template wrote) is in it; so is a blank that a tokenizer trimmed to
    nothing at its end."""
    start, end, _ = answer
    inside = [i for i, (a, b) in enumerate(offsets) if start < b and (a < end or a == b == end)]
    if inside:
        return inside[0], inside[-1] + 1
    at = next((i for i, (a, _) in enumerate(offsets) if a >= start), len(offsets))
    return at, at

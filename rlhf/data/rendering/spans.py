"""Which characters of a rendered conversation are its contents, which the assistant wrote, and
which tokens those are. Pure; no torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A conversation as ids. `answers`: half-open ranges of the assistant's tokens, a stop token
    after each among them; `ends`: of each the index after its content, before the stop token."""

    ids: list[int]
    answers: tuple[tuple[int, int], ...]
    ends: tuple[int, ...]


class TemplateError(ValueError):
    """The template refuses a conversation, or nothing says which of its tokens the assistant
    wrote."""


class Answer(NamedTuple):
    """Half-open range of characters: all that the assistant writes of a turn, but its stop token.
    It begins where the template's generation prompt ends."""

    start: int
    end: int


def marked(turns: Turns) -> Turns:
    """The turns with a mark in place of each content."""
    return tuple(Turn(turn.role, MARK.format(i)) for i, turn in enumerate(turns))


def skeleton(rendered: str) -> Skeleton:
    """What a template writes around the contents: `rendered` is that of marked turns."""
    return MARKED.split(rendered)


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
    text: str, spans: Sequence[tuple[int, int, int]], turns: Turns, opening: str
) -> list[Answer]:
    """Of each turn of the assistant. `opening`: the generation prompt, after which it begins: a
    template may write more before the content (an empty block of thoughts)."""
    ranges, before = [], 0
    for turn, start, end in spans:
        if turns[turn].role == ASSISTANT:
            opened = text.rfind(opening, before, start) if opening else -1
            ranges.append(Answer(start if opened < 0 else opened + len(opening), end))
        before = end
    return ranges


def tokens_of(answer: Answer, starts: Sequence[int]) -> tuple[int, int]:
    """The half-open range of the tokens that begin within an answer's characters."""
    inside = [i for i, start in enumerate(starts) if answer.start <= start < answer.end]
    if inside:
        return inside[0], inside[-1] + 1
    at = next((i for i, start in enumerate(starts) if start >= answer.start), len(starts))
    return at, at

"""Who says what: the turns that every reader gives, before any template makes text of them. No
torch here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

SYSTEM, USER, ASSISTANT, TOOL = "system", "user", "assistant", "tool"
ROLES = (SYSTEM, USER, ASSISTANT, TOOL)
NAMES = {SYSTEM: "System", USER: "Human", ASSISTANT: "Assistant", TOOL: "Tool"}


class Turn(NamedTuple):
    role: str  # one of ROLES
    content: str


Turns = tuple[Turn, ...]


def asked(text: str) -> Turns:
    """The prompt of one turn, the user's."""
    return (Turn(USER, text),)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The turns that a response answers; the last one is not the assistant's. `reference`: the
    answer that a rule compares it with, where the data has one."""

    turns: Turns
    reference: str | None = None

    @property
    def text(self) -> str:
        return shown(self.turns)


def shown(turns: Turns) -> str:
    """The turns as people and judges of text read them: one turn as it is, several as a transcript
    (`Human: ...`, a blank line, `Assistant: ...`)."""
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"{NAMES[turn.role]}: {turn.content}" for turn in turns)


def split_key(turns: Turns) -> str:
    """The side of the split is that of a conversation's first question: its first turn of the user,
    spaces collapsed. So what is asked is on one side, however its conversation goes on."""
    first = next((turn for turn in turns if turn.role == USER), turns[0])
    return " ".join(first.content.split())


def same_key(turns: Turns) -> tuple[tuple[str, str], ...]:
    """Equal for turns that differ in spaces alone."""
    return tuple((turn.role, " ".join(turn.content.split())) for turn in turns)


def alternation_fault(turns: Iterable[Turn]) -> str | None:
    """Why these turns are no conversation: after at most one turn of the system at the head, users
    (or tools) and the assistant speak in turn. None where they are."""
    before = ""
    for i, turn in enumerate(turns):
        if turn.role == SYSTEM and i:
            return f"turn {i + 1} is the system's, which may stand at the head only"
        if turn.role == before and turn.role in (USER, ASSISTANT):
            return f"turns {i} and {i + 1} are both the {turn.role}'s"
        if turn.role == ASSISTANT and before in ("", SYSTEM):
            return f"turn {i + 1} is the assistant's, and nobody has asked"
        before = turn.role
    return None

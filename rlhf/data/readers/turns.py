r"""Turns of a conversation as files have them: lists of objects, and transcripts of one text.

A turn is {"role", "content"} or {"from", "value"} (ShareGPT); content may be a list of
{"type": "text", "text"} parts. A transcript is the text of HH-RLHF: "\n\nHuman: ...\n\nAssistant:
...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rlhf.data.conversations import ASSISTANT, ROLES, SYSTEM, TOOL, USER, Turn, Turns, same_key
from rlhf.data.readers.values import RowError, is_blank, kind, text

ALIASES = {
    "human": USER,
    "prompter": USER,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "developer": SYSTEM,
    "function": TOOL,
    "observation": TOOL,
    **{role: role for role in ROLES},
}
SHAPES = (("role", "content"), ("from", "value"))
SPEAKERS = {"Human": USER, "Assistant": ASSISTANT, "System": SYSTEM}
SPOKEN = re.compile(rf"(?:\A\s*|\n\n)({'|'.join(SPEAKERS)}):")


def turn(value: object) -> Turn:
    """The turn that an object is."""
    keys = next((k for k in SHAPES if isinstance(value, dict) and set(k) <= value.keys()), None)
    if keys is None or not isinstance(value, dict):
        raise RowError('is no object with "role" and "content" (or "from" and "value")')
    role, content = value[keys[0]], value[keys[1]]
    known = ALIASES.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        raise RowError(f"has the role {role!r}; known: {', '.join(ALIASES)}")
    if is_blank(content) and value.get("tool_calls"):
        raise RowError("calls a tool and says nothing: calls of tools are not read")
    return Turn(known, text({keys[1]: _joined(content)}, keys[1]))


def _joined(content: object) -> object:
    """The text of a content of parts; any other content as it is."""
    if not isinstance(content, list) or not content:
        return content
    parts = [part.get("text") if isinstance(part, dict) else None for part in content]
    if not all(isinstance(part, str) for part in parts):
        raise RowError("has parts that are no text (an image, a file): text alone is read")
    return "".join(str(part) for part in parts)


def turns(row: Mapping[str, Any], key: str) -> Turns:
    """The turns of a column that is a list of them, or a single one."""
    value = row[key]
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list):
        raise RowError(f'"{key}" is {kind(value)}, not a list of turns')
    if not value:
        raise RowError(f'"{key}" is empty')
    read = []
    for i, each in enumerate(value, start=1):
        try:
            read.append(turn(each))
        except RowError as error:
            between = ":" if str(error).startswith('"') else ""
            raise RowError(f'turn {i} of "{key}"{between} {error}') from None
    return tuple(read)


def is_transcript(value: object) -> bool:
    """True for a text that begins with a speaker, after a blank line, or with an assistant's turn
    further on."""
    if not isinstance(value, str) or not SPOKEN.match(value):
        return False
    return value.startswith("\n\n") or "\n\nAssistant:" in value


def transcript(whole: str) -> Turns:
    """The turns of a transcript, spaces around what is said left out; the last may say nothing."""
    parts = SPOKEN.split(whole)
    return tuple(
        Turn(SPEAKERS[speaker], content.strip())
        for speaker, content in zip(parts[1::2], parts[2::2], strict=True)
    )


def before_the_last_answer(conversation: Turns) -> tuple[Turns, str | None]:
    """The turns before the assistant's last, and what it says there; what users say after it is
    left out. Without an answer, all turns and None."""
    at = [i for i, each in enumerate(conversation) if each.role == ASSISTANT]
    return (conversation[: at[-1]], conversation[at[-1]].content) if at else (conversation, None)


def part_ways(chosen: Turns, rejected: Turns) -> tuple[Turns, str, str]:
    """The prompt and the two answers of two whole conversations: the turns that they share from
    the beginning, and what the assistant says then on either side. An answer of several turns of
    the assistant in a row is one, a blank line between them."""
    keys = same_key(chosen), same_key(rejected)
    if keys[0] == keys[1]:
        raise RowError('"chosen" and "rejected" are the same')
    limit = min(len(chosen), len(rejected))
    shared = next((i for i in range(limit) if keys[0][i] != keys[1][i]), limit)
    while shared and chosen[shared - 1].role == ASSISTANT:
        shared -= 1
    rests = chosen[shared:], rejected[shared:]
    if not shared:
        raise RowError(
            '"chosen" and "rejected" share no turn at their beginning, so there is no prompt'
        )
    for rest, key in zip(rests, ("chosen", "rejected"), strict=True):
        if not rest:
            raise RowError(f'"{key}" ends with no turn of the assistant, so it is no answer')
        if any(each.role != ASSISTANT for each in rest):
            raise RowError(
                f'"chosen" and "rejected" part at turn {shared + 1}, and "{key}" goes on with'
                " other turns than the assistant's: they are no two answers to one prompt"
            )
    first, second = ("\n\n".join(each.content for each in rest) for rest in rests)
    return chosen[:shared], first, second

"""Prompts to answer without a terminal: a JSON Lines file of texts or conversations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.data.conversations import ROLES, USER, Turn, Turns, alternation_fault, asked
from rlhf.data.readers.files import read_objects
from rlhf.data.records import DataError

KEYS = ("prompt", "messages")


def read_prompts(path: Path) -> list[Turns]:
    """The prompt of each line: `prompt`, a text or turns of {role, content}, or `messages`, whose
    answer at the end is left out.

    Raises:
        DataError: with every fault, by file:line.
    """
    faults: list[str] = []
    prompts: list[Turns] = []
    for number, row in read_objects(path, faults):
        turns = _turns(row)
        if isinstance(turns, str):
            faults.append(f"{path}:{number}: {turns}")
        else:
            prompts.append(turns)
    if faults:
        raise DataError(faults)
    return prompts


def _turns(row: Mapping[str, Any]) -> Turns | str:
    """The turns of a row, or what is wrong with it."""
    key = next((key for key in KEYS if key in row), None)
    if key is None:
        keys = ", ".join(map(repr, row)) or "nothing"
        return (
            f'expected "prompt" (text, or turns of role and content) or "messages"; it has {keys}'
        )
    value = row[key]
    if isinstance(value, str):
        return asked(value)
    if not isinstance(value, list) or not value:
        return f'"{key}" is {str(value)[:60]!r}; expected text, or turns of role and content'
    turns = [_turn(each) for each in value]
    if odd := next((turn for turn in turns if isinstance(turn, str)), None):
        return odd
    whole = tuple(turn for turn in turns if isinstance(turn, Turn))
    whole = whole[:-1] if whole[-1].role == "assistant" else whole
    if not whole or whole[-1].role != USER:
        return "its last turn is not the user's: there is nothing to answer"
    return alternation_fault(whole) or whole


def _turn(value: Any) -> Turn | str:
    role, content = (
        (value.get("role"), value.get("content")) if isinstance(value, Mapping) else (None, None)
    )
    if role not in ROLES or not isinstance(content, str):
        return f"a turn is {{role: {' | '.join(ROLES)}, content: text}}, not {str(value)[:60]!r}"
    return Turn(role, content)

r"""The meaning of the rows of a user's file. One format a file, told by its keys; other keys are
passed over.

    text                           the first words are the prompt, the rest is the completion
    prompt, completion             joined as they are, so a completion that goes on in the line
                                   begins with a space
    instruction (, input), output  put into INSTRUCTION or INSTRUCTION_INPUT below
    messages                       turns {"role", "content"}; the last one, the assistant's, is the
                                   completion
    prompt, chosen, rejected       two answers to one prompt
    messages, chosen, rejected     the same after turns that end with the user's
    chosen, rejected               two whole transcripts; the prompt is what they share up to the
                                   last "\n\nAssistant:"

A pair may have a `margin`, how much better the chosen answer is (used with
reward_model.margin=true).

`prompt`, `completion`, `chosen` and `rejected` may also be lists of turns. Turns become a
transcript, "\n\nHuman: ...\n\nAssistant: ...". A file of demonstrations may also hold pairs:
`chosen` is the completion. A file of prompts needs the prompt only.
"""

from __future__ import annotations

import difflib
import math
import os.path
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from rlhf.data.readers.files import kind, quoted
from rlhf.data.splits import cut

Purpose = Literal["demonstrations", "preferences", "prompts"]
Format = tuple[str, ...]  # the keys it needs

INSTRUCTION = "Instruction:\n{instruction}\n\nResponse:\n"
INSTRUCTION_INPUT = "Instruction:\n{instruction}\n\nInput:\n{input}\n\nResponse:\n"
ANSWER = "\n\nAssistant:"
ROLES = {"user": "\n\nHuman:", "assistant": ANSWER, "system": "\n\nSystem:"}

PAIRS: tuple[Format, ...] = (
    ("prompt", "chosen", "rejected"),
    ("messages", "chosen", "rejected"),
    ("chosen", "rejected"),
)
FORMATS: dict[Purpose, tuple[Format, ...]] = {
    "demonstrations": (
        *PAIRS,
        ("prompt", "completion"),
        ("instruction", "output"),
        ("messages",),
        ("text",),
    ),
    "preferences": PAIRS,
    "prompts": (("prompt",), ("instruction",), ("messages",), ("chosen", "rejected"), ("text",)),
}


class RowError(ValueError):
    """One row is wrong; the message says why."""


class Row(NamedTuple):
    """The texts of a row. `completion` is the demonstrated or the chosen answer; `rejected` is
    there for pairs only."""

    prompt: str
    completion: str = ""
    rejected: str | None = None
    margin: float | None = None
    line: int = 0  # of its file, from 1


def detect(row: dict[str, Any], purpose: Purpose) -> Format:
    """The first format whose keys are all there. Where none is: RowError about the one that is
    nearest."""
    formats = FORMATS[purpose]
    for keys in formats:
        if all(key in row for key in keys):
            return keys
    has = quoted(row) or "nothing"
    spare = [key for key in row if not any(key in keys for keys in formats)]

    def nearness(keys: Format) -> float:
        return sum(
            1.0 if key in row else 0.75 if difflib.get_close_matches(key, spare, n=1) else -0.25
            for key in keys
        )

    best = max(formats, key=nearness)
    if nearness(best) <= 0:
        raise RowError(
            f"no known format: the row has {has}; {purpose} need"
            f" {' or '.join('+'.join(keys) for keys in formats)}"
        )
    lost = [key for key in best if key not in row]
    near = [match for key in lost for match in difflib.get_close_matches(key, spare, n=1)]
    hint = (
        f"; did you write {quoted(near, ' and ')} for {'it' if len(lost) == 1 else 'them'}?"
        if near
        else ""
    )
    raise RowError(f"missing {quoted(lost, ' and ')}: the row has {has}{hint}")


def parse(row: dict[str, Any], keys: Format, purpose: Purpose, prompt_words: int) -> Row:
    """The row's texts in the format `keys`, checked, and a pair's margin where it has one;
    RowError with the reason."""
    parsed = _texts(row, keys, purpose, prompt_words)
    margin = row.get("margin")
    if margin is None or parsed.rejected is None:
        return parsed
    if (
        isinstance(margin, bool)
        or not isinstance(margin, (int, float))
        or not math.isfinite(margin)
    ):
        raise RowError(f'"margin" is {kind(margin)}, not a finite number')
    return parsed._replace(margin=float(margin))


def _texts(row: dict[str, Any], keys: Format, purpose: Purpose, prompt_words: int) -> Row:
    if keys == ("text",):
        parts = cut(_text(row, "text").strip(), prompt_words)
        if parts is None:
            raise RowError('"text" is one word: no room for a prompt and a completion')
        return Row(*parts)
    if keys == ("chosen", "rejected"):
        return _transcripts(row)
    if keys[0] == "instruction":
        return Row(_instruction(row), "" if purpose == "prompts" else _text(row, "output"))
    if keys == ("messages",):
        return _messages(row, purpose)
    prompt = _prompt(row, keys[0])
    if keys == ("prompt",):
        return Row(prompt)
    spoken = isinstance(row[keys[0]], list)
    if keys == ("prompt", "completion"):
        return Row(prompt, _answer(row, "completion", spoken))
    chosen, rejected = _answer(row, "chosen", spoken), _answer(row, "rejected", spoken)
    if chosen == rejected:
        raise RowError('"chosen" and "rejected" are the same')
    return Row(prompt, chosen, rejected)


def _text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise RowError(f'"{key}" is {kind(value)}, not text')
    if not value.strip():
        raise RowError(f'"{key}" is empty')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f'"{key}" holds half of a surrogate pair at character {error.start + 1}'
        ) from None
    return value


def _turns(row: dict[str, Any], key: str) -> list[tuple[str, str]]:
    """(role, content) of a list of turns."""
    turns = row[key]
    if not isinstance(turns, list):
        raise RowError(f'"{key}" is {kind(turns)}, not a list of turns')
    if not turns:
        raise RowError(f'"{key}" is empty')
    checked = []
    for i, turn in enumerate(turns):
        if not isinstance(turn, dict) or "role" not in turn or "content" not in turn:
            raise RowError(f'turn {i + 1} of "{key}" is no object with "role" and "content"')
        if not isinstance(turn["role"], str) or turn["role"] not in ROLES:
            raise RowError(
                f'turn {i + 1} of "{key}" has the role {turn["role"]!r}; known: {", ".join(ROLES)}'
            )
        try:
            checked.append((turn["role"], _text(turn, "content")))
        except RowError as error:
            raise RowError(f'turn {i + 1} of "{key}": {error}') from None
    return checked


def _transcript(turns: Sequence[tuple[str, str]]) -> str:
    return "".join(f"{ROLES[role]} {content}" for role, content in turns)


def _prompt(row: dict[str, Any], key: str) -> str:
    if key == "prompt" and not isinstance(row[key], list):
        return _text(row, key)
    turns = _turns(row, key)
    if turns[-1][0] == "assistant":
        raise RowError(f'"{key}" ends with a turn of the assistant, so there is nothing to answer')
    return _transcript(turns) + ANSWER


def _answer(row: dict[str, Any], key: str, spoken: bool) -> str:
    """`spoken`: the prompt is a transcript, so a space follows "Assistant:"."""
    if not isinstance(row[key], list):
        return (" " if spoken else "") + _text(row, key)
    turns = _turns(row, key)
    if len(turns) != 1 or turns[0][0] != "assistant":
        raise RowError(f'"{key}" must be one turn of the assistant after a prompt')
    return " " + turns[0][1]


def _messages(row: dict[str, Any], purpose: Purpose) -> Row:
    turns = _turns(row, "messages")
    answered = turns[-1][0] == "assistant"
    if not answered and purpose == "demonstrations":
        raise RowError(
            '"messages" does not end with a turn of the assistant, so nothing is demonstrated'
        )
    asked = turns[:-1] if answered else turns
    if not asked:
        raise RowError('"messages" has no turn before the assistant\'s')
    return Row(_transcript(asked) + ANSWER, " " + turns[-1][1] if answered else "")


def _instruction(row: dict[str, Any]) -> str:
    instruction, extra = _text(row, "instruction"), row.get("input")
    if extra is None or (isinstance(extra, str) and not extra.strip()):
        return INSTRUCTION.format(instruction=instruction)
    return INSTRUCTION_INPUT.format(instruction=instruction, input=_text(row, "input"))


def _transcripts(row: dict[str, Any]) -> Row:
    """An answer may be empty here: in collected conversations the assistant sometimes says
    nothing."""
    chosen, rejected = (
        _transcript(_turns(row, key)) if isinstance(row[key], list) else _text(row, key)
        for key in ("chosen", "rejected")
    )
    if chosen == rejected:
        raise RowError('"chosen" and "rejected" are the same')
    end = os.path.commonprefix([chosen, rejected]).rfind(ANSWER)
    if end < 0:
        raise RowError(
            f'no "prompt", and "chosen" and "rejected" do not begin with one text up to {ANSWER!r}'
        )
    end += len(ANSWER)
    return Row(chosen[:end], chosen[end:], rejected[end:])

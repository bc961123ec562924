r"""The meaning of the rows of a user's file: turns, and the answers to them. One format a file,
told by its columns (`rlhf.data.readers.formats`).

    text                             the first words are the prompt, the rest is the completion
    prompt, completion               texts: joined as they are, so a completion that goes on in the
                                     line begins with a space; lists of turns: a conversation
    instruction (, input), output    Alpaca: one turn of the user, instruction, blank line, input
    messages                         turns; the assistant's last is the completion
    conversations                    the same (ShareGPT)
    prompt, chosen, rejected         two answers to one prompt, texts or turns (TRL); also after
                                     messages, conversations or instruction (, input)
    instruction (, input), output_1, output_2, preference
                                     AlpacaFarm: the output that is preferred, 1 or 2; a fraction is
                                     nearer to the better one, a tie (0, 1.5) is refused
    chosen, rejected                 whole conversations: lists of turns, or transcripts
                                     ("\n\nHuman: ...\n\nAssistant: ..."), which share the prompt;
                                     other texts share their first words

Beside them: `system`, a turn at the head; `context`, set before the user's question with a blank
line between; `reference` (`answer`, `final_answer`, `gold`), the answer that a rule compares with.
A file of demonstrations may also hold pairs: `chosen` is the completion. A file of prompts needs
the prompt only.

A pair may have a `margin`, how much better the chosen answer is, in the labeller's unit (used with
reward_model.margin=true). Where it has votes instead (`votes_chosen` of `votes_total`), the margin
is the log-odds of the vote, smoothed by one vote on either side, in nats:
log((votes_chosen + 1) / (votes_total - votes_chosen + 1)); below 0 where most were against.
"""

from __future__ import annotations

import math
import os.path
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rlhf.data.conversations import ASSISTANT, SYSTEM, Turn, Turns, asked
from rlhf.data.readers.formats import REFERENCES, Format, Purpose
from rlhf.data.readers.turns import (
    before_the_last_answer,
    is_transcript,
    part_ways,
    transcript,
    turns,
)
from rlhf.data.readers.values import RowError, kind, number, optional, text
from rlhf.data.splits import cut

CONVERSATIONS = ("messages", "conversations")


@dataclass(frozen=True, kw_only=True)
class Row:
    """The turns and answers of a row. `completion` is the demonstrated or the chosen answer;
    `rejected` is there for pairs only."""

    prompt: Turns
    completion: str = ""
    rejected: str | None = None
    margin: float | None = None
    reference: str | None = None
    continues: bool = False  # text that goes on: prompt + completion, no conversation
    file: str = ""
    line: int = 0  # of its file, from 1; the row's number where a file has no lines

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def parse(row: Mapping[str, Any], keys: Format, purpose: Purpose, prompt_words: int) -> Row:
    """The row in the format `keys`, checked, with a pair's margin and the reference where it has
    them; RowError with the reason."""
    parsed = _answers(row, keys, purpose, prompt_words)
    system = None if parsed.continues else optional(row, "system")
    if system is not None and parsed.prompt[0].role != SYSTEM:
        parsed = replace(parsed, prompt=(Turn(SYSTEM, system), *parsed.prompt))
    margin = None if parsed.rejected is None else _margin(row)
    return replace(parsed, margin=margin, reference=_reference(row))


def _answers(row: Mapping[str, Any], keys: Format, purpose: Purpose, prompt_words: int) -> Row:
    if keys == ("text",):
        parts = cut(text(row, "text").strip(), prompt_words)
        if parts is None:
            raise RowError('"text" is one word: no room for a prompt and a completion')
        return Row(prompt=asked(parts[0]), completion=parts[1], continues=True)
    if keys == ("chosen", "rejected"):
        return _whole(row)
    if keys[0] in CONVERSATIONS and keys[1:] == ():
        return _conversation(row, keys[0], purpose)
    if keys[:3] == ("prompt", "chosen", "rejected") and _holds_the_prompt(row):
        return _whole(row)
    if "output_1" in keys:
        return _preferred(row)
    prompt = _prompt(row, keys[0])
    if purpose == "prompts":
        goes_on = isinstance(row.get("completion"), str) and _is_plain(row, keys[0])
        return Row(prompt=prompt, continues=goes_on)
    if keys[1:] == ("completion",):
        goes_on = _is_plain(row, "prompt") and isinstance(row["completion"], str)
        answer = text(row, "completion") if goes_on else _answer(row, "completion")
        return Row(prompt=prompt, completion=answer, continues=goes_on)
    if keys[1:] == ("output",):
        return Row(prompt=prompt, completion=text(row, "output"))
    return _pair(prompt, _answer(row, "chosen"), _answer(row, "rejected"))


def _pair(prompt: Turns, chosen: str, rejected: str, *, continues: bool = False) -> Row:
    if chosen == rejected:
        raise RowError('"chosen" and "rejected" are the same')
    return Row(prompt=prompt, completion=chosen, rejected=rejected, continues=continues)


def _is_plain(row: Mapping[str, Any], key: str) -> bool:
    """A prompt of one text that is no transcript and comes with no context."""
    value = row[key]
    return (
        key == "prompt"
        and isinstance(value, str)
        and not is_transcript(value)
        and optional(row, "context") is None
        and optional(row, "system") is None
    )


def _prompt(row: Mapping[str, Any], key: str) -> Turns:
    """The turns that the answers of a row answer."""
    value = row[key]
    if key in CONVERSATIONS or isinstance(value, (list, dict)):
        asking = turns(row, key)
    elif is_transcript(value):
        asking = transcript(text(row, key))
        asking = asking[:-1] if asking[-1] == Turn(ASSISTANT, "") else asking
    else:
        parts = [optional(row, "context"), text(row, key)]
        parts += [optional(row, "input")] if key == "instruction" else []
        return asked("\n\n".join(part for part in parts if part is not None))
    if not asking or asking[-1].role == ASSISTANT:
        raise RowError(f'"{key}" ends with a turn of the assistant, so there is nothing to answer')
    return asking


def _answer(row: Mapping[str, Any], key: str) -> str:
    if not isinstance(row[key], (list, dict)):
        answer = text(row, key)
        # what follows "Assistant:" in a transcript begins with a space
        return answer.strip() if is_transcript(row.get("prompt")) else answer
    spoken = turns(row, key)
    if len(spoken) != 1 or spoken[0].role != ASSISTANT:
        raise RowError(f'"{key}" must be one turn of the assistant after a prompt')
    return spoken[0].content


def _conversation(row: Mapping[str, Any], key: str, purpose: Purpose) -> Row:
    whole = turns(row, key)
    if purpose == "prompts" and whole[-1].role != ASSISTANT:
        return Row(prompt=whole)
    prompt, answer = before_the_last_answer(whole)
    if answer is None and purpose == "demonstrations":
        raise RowError(f'"{key}" has no turn of the assistant, so nothing is demonstrated')
    if not prompt:
        raise RowError(f'"{key}" has no turn before the assistant\'s')
    return Row(prompt=prompt, completion=answer or "")


def _holds_the_prompt(row: Mapping[str, Any]) -> bool:
    """True where `chosen` and `rejected` are whole conversations though there is a `prompt`, which
    is what the user says in them."""
    if not all(isinstance(row[key], list) and len(row[key]) > 1 for key in ("chosen", "rejected")):
        return False
    whole = turns(row, "chosen")
    value = row["prompt"]
    if isinstance(value, str):
        return value.strip() in (each.content.strip() for each in whole)
    asking = turns(row, "prompt")
    return asking == whole[: len(asking)]


def _whole(row: Mapping[str, Any]) -> Row:
    """Two whole conversations, or two texts that begin with the same words. The answers of
    transcripts may be empty: in collected ones the assistant sometimes says nothing."""
    if any(isinstance(row[key], (list, dict)) for key in ("chosen", "rejected")):
        return _pair(*part_ways(turns(row, "chosen"), turns(row, "rejected")))
    chosen, rejected = text(row, "chosen"), text(row, "rejected")
    if is_transcript(chosen) and is_transcript(rejected):
        return _pair(*part_ways(transcript(chosen), transcript(rejected)))
    shared = os.path.commonprefix([chosen, rejected])
    end = max(shared.rfind(space) for space in (" ", "\n", "\t"))
    if chosen == rejected or end < 0 or not shared[:end].strip():
        raise RowError(
            '"chosen" and "rejected" are the same'
            if chosen == rejected
            else 'no "prompt", and "chosen" and "rejected" do not begin with the same words'
        )
    end = len(shared[:end].rstrip())
    return _pair(asked(chosen[:end]), chosen[end:], rejected[end:], continues=True)


def _preferred(row: Mapping[str, Any]) -> Row:
    preference = number(row, "preference")
    if preference is None or preference in (0, 1.5):
        raise RowError('"preference" is a tie, so neither output is the better one')
    if not 1 <= preference <= 2:
        raise RowError(f'"preference" is {preference:g}, not from 1 (output_1) to 2 (output_2)')
    outputs = [_answer(row, "output_1"), _answer(row, "output_2")]
    if outputs[0] == outputs[1]:
        raise RowError('"output_1" and "output_2" are the same')
    chosen, rejected = outputs if preference < 1.5 else outputs[::-1]
    return Row(prompt=_prompt(row, "instruction"), completion=chosen, rejected=rejected)


def _margin(row: Mapping[str, Any]) -> float | None:
    margin, chosen, total = (number(row, k) for k in ("margin", "votes_chosen", "votes_total"))
    if margin is not None or chosen is None or total is None:
        return margin
    if not 0 <= chosen <= total:
        raise RowError(f'"votes_chosen" is {chosen:g} of {total:g} votes')
    return math.log((chosen + 1) / (total - chosen + 1))


def _reference(row: Mapping[str, Any]) -> str | None:
    """The first column that has it, as text. `reference` itself must be text or a number; a column
    of another kind that only has a name like it is none."""
    for key in REFERENCES:
        value = row.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return repr(value)
        if isinstance(value, str) and value.strip():
            return text(row, key)
        if key == "reference" and value is not None and not isinstance(value, str):
            raise RowError(f'"reference" is {kind(value)}, not text or a number')
    return None

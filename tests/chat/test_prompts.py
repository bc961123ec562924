import json

import pytest

from rlhf.chat.prompts import read_prompts
from rlhf.data.records import DataError


def rows(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


USER = {"role": "user", "content": "hi"}
SYSTEM = {"role": "system", "content": "be kind"}
ANSWER = {"role": "assistant", "content": "hello"}


def test_a_text_or_turns_without_the_answer_at_the_end(tmp_path):
    path = rows(
        tmp_path / "p.jsonl",
        {"prompt": "hi"},
        {"prompt": [SYSTEM, USER]},
        {"messages": [USER, ANSWER, USER, ANSWER]},
    )
    texts = [[turn.content for turn in turns] for turns in read_prompts(path)]
    assert texts == [["hi"], ["be kind", "hi"], ["hi", "hello", "hi"]]


def test_every_bad_row_is_named_by_its_line(tmp_path):
    path = rows(
        tmp_path / "p.jsonl",
        {"text": "hi"},
        {"prompt": [{"role": "user"}]},
        {"messages": [USER, USER]},
        {"messages": [ANSWER]},
        {"prompt": 3},
    )
    with pytest.raises(DataError) as error:
        read_prompts(path)
    first, second, third, fourth, fifth = error.value.faults
    assert first.startswith(f'{path}:1: expected "prompt"') and "'text'" in first
    assert ":2: a turn is {role: system | user | assistant | tool, content: text}" in second
    assert ":3: turns 1 and 2 are both the user's" in third
    assert ":4: its last turn is not the user's" in fourth
    assert ":5: \"prompt\" is '3'; expected text" in fifth

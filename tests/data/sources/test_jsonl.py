import gzip
import json

import pytest

from rlhf.data.gold import VaderGold
from rlhf.data.records import DataError
from rlhf.data.sources.jsonl import JsonLines
from tests.turns import demonstration, preference

SETTINGS = {
    "preferences": None,
    "prompts": None,
    "gold": None,
    "prompt_words": 4,
    "pairs": 2000,
    "label_temperature": 0.25,
    "heldout_fraction": 0.2,
    "seed": 0,
    "vocabulary": 300,
    "max_response_tokens": 32,
}
DEMONSTRATIONS = [
    {"prompt": f"question {i % 40}", "completion": f" answer {i}"} for i in range(100)
]
PAIRS = [
    {"prompt": f"question {i % 50}", "chosen": f" good {i}", "rejected": f" bad {i}"}
    for i in range(100)
]


def write(path, rows):
    raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return str(path)


def load(demonstrations, **changes):
    return JsonLines(**{**SETTINGS, "demonstrations": demonstrations, **changes}).load()


def faults(demonstrations, **changes):
    with pytest.raises(DataError) as error:
        load(demonstrations, **changes)
    return error.value.faults


def test_rows_arrive_and_no_prompt_is_on_both_sides_of_any_file(tmp_path):
    prompts = [{"prompt": f"question {i}"} for i in range(30, 70)] * 2
    data = load(
        write(tmp_path / "d.jsonl", DEMONSTRATIONS),
        preferences=write(tmp_path / "p.jsonl.gz", PAIRS),
        prompts=write(tmp_path / "q.jsonl", prompts),
    )
    assert sorted(
        row.completion for row in data.demonstrations.train + data.demonstrations.heldout
    ) == sorted(row["completion"] for row in DEMONSTRATIONS)
    assert (
        preference("question 0", " good 0", " bad 0")
        in data.preferences.train + data.preferences.heldout
    )
    assert len(data.prompts.train + data.prompts.heldout) == 40
    train = {row.prompt for row in data.demonstrations.train + data.preferences.train} | set(
        data.prompts.train
    )
    heldout = {row.prompt for row in data.demonstrations.heldout + data.preferences.heldout} | set(
        data.prompts.heldout
    )
    assert not train & heldout and len(train | heldout) == 70
    assert 3 <= len(heldout) <= 30


def test_sides_do_not_depend_on_the_order_of_the_rows(tmp_path):
    one = load(write(tmp_path / "a.jsonl", DEMONSTRATIONS), gold="vader")
    other = load(write(tmp_path / "b.jsonl", DEMONSTRATIONS[::-1]), gold="vader")
    assert set(one.demonstrations.heldout) == set(other.demonstrations.heldout)
    assert one.fingerprint != other.fingerprint
    assert (
        one.fingerprint
        == load(write(tmp_path / "c.jsonl.gz", DEMONSTRATIONS), gold="vader").fingerprint
    )


def test_without_prompts_those_of_the_demonstrations_are_taken_once(tmp_path):
    data = load(write(tmp_path / "d.jsonl", DEMONSTRATIONS), gold="vader")
    assert data.preferences is None
    assert list(data.prompts.train) == list(
        dict.fromkeys(row.prompt for row in data.demonstrations.train)
    )


def test_text_rows_are_cut_after_prompt_words(tmp_path):
    rows = [{"text": f"film {i} is a fine one ."} for i in range(20)]
    data = load(write(tmp_path / "d.jsonl", rows), gold="vader", prompt_words=3)
    assert (
        demonstration("film 3 is", " a fine one .")
        in data.demonstrations.train + data.demonstrations.heldout
    )


def test_gold_is_null_or_vader(tmp_path):
    path = write(tmp_path / "d.jsonl", DEMONSTRATIONS)
    assert isinstance(
        JsonLines(**{**SETTINGS, "demonstrations": path, "gold": "vader"}).gold, VaderGold
    )
    assert JsonLines(**{**SETTINGS, "demonstrations": path}).gold is None
    assert faults(path, gold="textblob") == ["data.gold=textblob: give null or vader"]
    assert JsonLines(**{**SETTINGS, "demonstrations": path}).load().preferences is None


def test_faults_of_all_files_come_together(tmp_path):
    demonstrations = tmp_path / "d.jsonl"
    demonstrations.write_text(
        '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\nnot json\n{"text": "a b c"}\n',
        "utf-8",
    )
    pairs = write(tmp_path / "p.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "b"}])
    lost = str(tmp_path / "q.jsonl")
    assert faults(str(demonstrations), preferences=pairs, prompts=lost) == [
        f'{demonstrations}:2: missing "completion": the row has "prompt"',
        f"{demonstrations}:3: not JSON at column 1: Expecting value",
        (
            f"{demonstrations}:4: has the format text, but line 1 has prompt+completion: one format"
            " a file"
        ),
        f'{pairs}:1: "chosen" and "rejected" are the same',
        f'{lost}: no such file in {tmp_path}; did you mean "{tmp_path / "p.jsonl"}"?',
    ]


def test_twenty_faults_are_shown_and_the_rest_counted(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"prompt": "a", "completion": ""}] * 33)
    found = faults(path, gold="vader")
    assert len(found) == 21
    assert found[19] == f'{path}:20: "completion" is empty'
    assert found[20] == "and 13 more"


def test_one_prompt_cannot_be_split(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"prompt": "a", "completion": "b"}] * 3)
    assert faults(path, gold="vader") == [
        f"{path}: all its prompts are on one side of the split; give two different ones"
    ]


def test_two_prompts_are_enough(tmp_path):
    data = load(
        write(
            tmp_path / "d.jsonl",
            [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}],
        ),
        gold="vader",
    )
    assert (
        len(data.demonstrations.train)
        == len(data.demonstrations.heldout)
        == len(data.prompts.heldout)
        == 1
    )


def test_tokenizer_gives_any_text_back(tmp_path):
    source = JsonLines(
        **{
            **SETTINGS,
            "demonstrations": write(tmp_path / "d.jsonl", DEMONSTRATIONS),
            "gold": "vader",
        }
    )
    tokenizer = source.tokenizer(source.load())
    assert 258 < len(tokenizer) <= 300
    text = " na\u00efve \n\t\u201cx\u201d <eos>"
    assert (
        tokenizer.decode(
            tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=True
        )
        == text
    )

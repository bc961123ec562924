import json
import math

import pytest

from rlhf.data.records import DataError
from rlhf.data.sources.rt_polarity import RTPolarity, read
from tests.turns import demonstration

GOOD, BAD = ("funny", "warm", "moving", "superb"), ("dull", "lazy", "awful", "thin")
NOUNS = ("plot", "cast", "music", "script", "ending", "humor", "pacing", "story", "film", "drama")
ROWS = [
    (f"{opening} {noun} is a very {word} thing .", label)
    for opening in ("the", "this")
    for noun in NOUNS
    for label, side in ((1, GOOD), (0, BAD))
    for word in side
]
SETTINGS = {
    "seed": 0,
    "prompt_words": 2,
    "prompts": 16,
    "pairs": 3000,
    "label_temperature": 0.25,
    "heldout_fraction": 0.2,
    "vocabulary": 300,
    "max_response_tokens": 24,
}


def source(path, **changes):
    return RTPolarity(**{**SETTINGS, "path": str(path), **changes})


@pytest.fixture
def folder(tmp_path):
    lines = [
        json.dumps({"id": str(i), "text": text, "label": label})
        for i, (text, label) in enumerate(ROWS)
    ]
    (tmp_path / "snippets.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


def original(folder):
    folder.mkdir(parents=True)
    for name, label in (("rt-polarity.pos", 1), ("rt-polarity.neg", 0)):
        (folder / name).write_bytes(
            "".join(f"{text} \n" for text, mark in ROWS if mark == label).encode("latin-1")
        )
    return folder


def test_split_by_prompt_and_no_preferences(folder):
    data = source(folder).load()
    train = {row.prompt for row in data.demonstrations.train}
    heldout = {row.prompt for row in data.demonstrations.heldout}
    assert not train & heldout and len(train | heldout) == 20
    assert {p.turns for p in data.prompts.train} <= train
    assert {p.turns for p in data.prompts.heldout} <= heldout
    assert len(data.prompts.train + data.prompts.heldout) == 16 and data.prompts.heldout
    assert data.preferences is None
    assert (
        demonstration("the plot", " is a very funny thing .")
        in data.demonstrations.train + data.demonstrations.heldout
    )


def test_seeded(folder):
    assert source(folder).load().fingerprint == source(folder).load().fingerprint
    assert source(folder).load().prompts != source(folder, seed=1).load().prompts


@pytest.mark.parametrize("inside", ["", "rt-polaritydata", "sentence_polarity"])
def test_the_original_distribution(tmp_path, inside):
    place = original(tmp_path / "set" / inside)
    rows = sorted(read(tmp_path / "set"))
    assert rows == sorted(ROWS)
    assert sorted(read(place / "rt-polarity.pos")) == rows  # one of the two files stands for both


def test_latin_1_and_spaces(tmp_path):
    (tmp_path / "rt-polarity.pos").write_bytes(b"a clich\xe9  is\x85fine \n\n")
    (tmp_path / "rt-polarity.neg").write_bytes(b"no\n")
    assert read(tmp_path) == [("a clich\u00e9 is fine", 1), ("no", 0)]


def test_half_of_the_distribution(tmp_path):
    (tmp_path / "rt-polarity.pos").write_bytes(b"fine\n")
    with pytest.raises(
        DataError,
        match=(
            "rt-polarity.neg: no such file; the original distribution has rt-polarity.pos and"
            " rt-polarity.neg together"
        ),
    ):
        read(tmp_path / "rt-polarity.pos")


def test_nothing_there_says_what_to_get_and_where_it_looked(tmp_path):
    with pytest.raises(DataError) as error:
        source(tmp_path / "nothing").load()
    text = str(error.value)
    for part in (
        f"data.path={tmp_path / 'nothing'}",
        "snippets.jsonl",
        "rt-polarity.pos",
        "rt-polarity.neg",
        "Pang",
        "Lee",
        "ACL 2005",
        "sentence_polarity",
        str((tmp_path / "nothing").resolve()),
    ):
        assert part in text


def test_bad_rows(tmp_path):
    path = tmp_path / "snippets.jsonl"
    rows = [
        '{"text": "a b", "label": 1}',
        '{"text": "a b"}',
        '{"text": 3, "label": 1}',
        '{"text": " ", "label": 1}',
    ]
    rows += ['{"text": "a b", "label": 2}', '{"text": "a b", "label": true}', "[]"]
    path.write_text("\n".join(rows), "utf-8")
    with pytest.raises(DataError) as error:
        read(path)
    assert error.value.faults == [
        f'{path}:2: missing "label": the row has "text"',
        f'{path}:3: "text" is a number, not text',
        f'{path}:4: "text" is empty',
        f'{path}:5: "label" is 2, not 0 or 1',
        f'{path}:6: "label" is True, not 0 or 1',
        f"{path}:7: a list, not an object",
    ]


def test_more_prompts_than_there_are(folder):
    with pytest.raises(
        DataError, match="data.prompts=21: the sentences have 20 different prompts; give 2 to 20"
    ):
        source(folder, prompts=21).load()


def test_gold_is_vader_and_the_judge_learns_the_human_labels(folder):
    task = source(folder)
    task.load()
    prompts, responses = ["the plot"] * 2, [" is a very funny thing .", " is a very awful thing ."]
    good, bad = task.gold(prompts, responses)
    assert good > 0 > bad
    assert list(task.judges) == ["classifier"]
    good, bad = task.judges["classifier"](prompts, responses)
    assert good > 0.5 and bad < -0.5
    assert task.classifier.heldout_accuracy == 1.0
    assert task.judges["classifier"](prompts, responses) == source(folder).judges["classifier"](
        prompts, responses
    )
    assert task.judges["classifier"]([], []) == []
    assert math.isfinite(task.judges["classifier"](["zzz"], [" qqq"])[0])

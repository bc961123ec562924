import gzip
import json

import pytest

from rlhf.data.conversations import Turn, asked
from rlhf.data.gold import VaderGold
from rlhf.data.records import DataError, Demonstration, Preference
from rlhf.data.sources.files import Files

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
    return Files(**{**SETTINGS, "demonstrations": demonstrations, **changes}).load()


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
        Preference(prompt=asked("question 0"), chosen=" good 0", rejected=" bad 0")
        in data.preferences.train + data.preferences.heldout
    )
    assert len(data.prompts.train + data.prompts.heldout) == 40
    train, heldout = (
        {row.prompt for row in getattr(data.demonstrations, side)}
        | {row.prompt for row in getattr(data.preferences, side)}
        | {prompt.turns for prompt in getattr(data.prompts, side)}
        for side in ("train", "heldout")
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
    assert [prompt.turns for prompt in data.prompts.train] == list(
        dict.fromkeys(row.prompt for row in data.demonstrations.train)
    )


def test_text_rows_are_cut_after_prompt_words(tmp_path):
    rows = [{"text": f"film {i} is a fine one ."} for i in range(20)]
    data = load(write(tmp_path / "d.jsonl", rows), gold="vader", prompt_words=3)
    assert (
        Demonstration(prompt=asked("film 3 is"), completion=" a fine one .")
        in data.demonstrations.train + data.demonstrations.heldout
    )


def test_gold_is_null_or_vader(tmp_path):
    path = write(tmp_path / "d.jsonl", DEMONSTRATIONS)
    assert isinstance(
        Files(**{**SETTINGS, "demonstrations": path, "gold": "vader"}).gold, VaderGold
    )
    assert Files(**{**SETTINGS, "demonstrations": path}).gold is None
    assert faults(path, gold="textblob") == ["data.gold=textblob: give null or vader"]
    assert Files(**{**SETTINGS, "demonstrations": path}).load().preferences is None


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
    source = Files(
        **{
            **SETTINGS,
            "demonstrations": write(tmp_path / "d.jsonl", DEMONSTRATIONS),
            "gold": "vader",
        }
    )
    tokenizer = source.tokenizer(source.load())
    assert 258 < len(tokenizer) <= 300
    text = " na\u00efve \n\t\u201cx\u201d"
    assert (
        tokenizer.decode(
            tokenizer(text, add_special_tokens=False).input_ids, skip_special_tokens=True
        )
        == text
    )


def messages(*texts):
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]


def test_no_first_question_is_on_both_sides_whatever_its_format(tmp_path):
    """The same questions as text, as turns, with other spaces, and as the head of a longer
    conversation."""
    names = [f"What is {i}?" for i in range(40)]
    data = load(
        write(tmp_path / "d.jsonl", [{"instruction": n, "output": "x"} for n in names]),
        preferences=write(
            tmp_path / "p.jsonl",
            [{"messages": messages(n, "a", "b"), "chosen": "x", "rejected": "y"} for n in names],
        ),
        prompts=write(tmp_path / "q.jsonl", [{"prompt": n.replace(" ", "  ")} for n in names]),
    )
    heldout = {
        part: {" ".join(turns[0].content.split()) for turns in each}
        for part, each in {
            "demonstrations": [row.prompt for row in data.demonstrations.heldout],
            "preferences": [row.prompt for row in data.preferences.heldout],
            "prompts": [prompt.turns for prompt in data.prompts.heldout],
        }.items()
    }
    assert heldout["demonstrations"] == heldout["preferences"] == heldout["prompts"]
    assert 2 <= len(heldout["prompts"]) <= 20


def test_each_part_may_be_missing(tmp_path):
    demonstrations = write(tmp_path / "d.jsonl", DEMONSTRATIONS)
    pairs = write(tmp_path / "p.jsonl", PAIRS)
    prompts = write(tmp_path / "q.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    alone = load(None, preferences=pairs)
    assert alone.demonstrations is None and len(alone.preferences.train) > 50
    assert {prompt.turns for prompt in alone.prompts.train} == {
        row.prompt for row in alone.preferences.train
    }
    asked_for = load(None, prompts=prompts)
    assert asked_for.demonstrations is asked_for.preferences is None
    assert len(asked_for.prompts.train) == len(asked_for.prompts.heldout) == 1
    taken = load(demonstrations, preferences=pairs)
    assert {prompt.turns for prompt in taken.prompts.train} == {
        row.prompt for row in taken.demonstrations.train
    }
    (fault,) = faults(None)
    assert fault == (
        "data: no rows; name a file in one of data.demonstrations, data.preferences, data.prompts"
    )


@pytest.mark.parametrize(
    ("row", "continues"),
    [
        ({"text": "a fine film {i}"}, True),
        ({"prompt": "{i}", "completion": " b"}, True),
        ({"instruction": "{i}", "output": "b"}, False),
        ({"prompt": "{i}", "chosen": "b", "rejected": "c"}, False),
    ],
)
def test_text_that_goes_on_is_told_from_conversations(tmp_path, row, continues):
    rows = [{k: v.replace("{i}", f"{i} or so") for k, v in row.items()} for i in range(9)]
    path = write(tmp_path / "d.jsonl", rows)
    assert load(path, prompt_words=4).continues is continues
    # demonstrations say it for all parts
    questions = write(tmp_path / "q.jsonl", [{"prompt": "a"}, {"prompt": "b"}])
    assert load(path, prompts=questions).continues is continues


def test_references_come_with_the_prompts(tmp_path):
    rows = [{"instruction": f"{i} + 1?", "output": "...", "final_answer": i + 1} for i in range(9)]
    data = load(write(tmp_path / "d.jsonl", [*rows, *rows]))
    prompts = data.prompts.train + data.prompts.heldout
    assert {(p.text, p.reference) for p in prompts} == {(f"{i} + 1?", f"{i + 1}") for i in range(9)}
    assert len(prompts) == 9


def test_a_prompt_that_is_there_twice_has_the_reference_of_either_row(tmp_path):
    """The first that there is; without one the first row's text."""
    asks = ["1 + 1?", "1 + 1? ", "1 +  1?", "2?", "2? "]
    rows = [{"prompt": text} for text in asks]
    rows[1]["answer"], rows[2]["answer"] = "2", "3"
    data = load(None, prompts=write(tmp_path / "q.jsonl", rows))
    prompts = data.prompts.train + data.prompts.heldout
    assert {(p.text, p.reference) for p in prompts} == {("1 + 1? ", "2"), ("2?", None)}


def test_prompts_that_differ_in_spaces_are_one(tmp_path):
    rows = [{"prompt": text} for text in ("a b", "c", "a  b", "a b ")]
    data = load(None, prompts=write(tmp_path / "q.jsonl", rows))
    assert {p.text for p in data.prompts.train + data.prompts.heldout} == {"a b", "c"}


def test_bad_rows_are_skipped_where_that_is_asked_for(tmp_path, caplog):
    rows = [*DEMONSTRATIONS[:50], *[{"prompt": "a", "completion": ""}] * 5]
    path = write(tmp_path / "d.jsonl", rows)
    source = Files(**{**SETTINGS, "demonstrations": path, "on_bad_row": "skip"})
    data = source.load()
    assert len(data.demonstrations.train + data.demonstrations.heldout) == 50
    assert source.skipped == [f'{path}:{line}: "completion" is empty' for line in range(51, 56)]
    assert caplog.messages == [
        "5 bad rows are left out (data.on_bad_row=skip): "
        f'{path}:51: "completion" is empty; {path}:52: "completion" is empty;'
        f' {path}:53: "completion" is empty; and 2 more'
    ]
    # a file that cannot be read is no bad row
    assert len(faults(path, prompts=str(tmp_path / "no.jsonl"), on_bad_row="skip")) == 1
    assert len(faults(path)) == 5


def test_columns_of_ones_own_and_weighted_places(tmp_path):
    one = write(tmp_path / "1.jsonl", [{"q": f"a{i}", "r": "x"} for i in range(20)])
    two = write(tmp_path / "2.jsonl", [{"q": f"b{i}", "reply": "y"} for i in range(20)])
    places = [{"path": one}, {"path": two, "weight": 2, "columns": {"output": "reply"}}]
    columns = {"instruction": "q", "output": "r"}
    data = load(places, columns=columns)
    rows = data.demonstrations.train + data.demonstrations.heldout
    assert [row.completion for row in rows].count("y") == 40
    assert Demonstration(prompt=asked("a3"), completion="x") in rows
    assert len(data.prompts.train + data.prompts.heldout) == 40
    assert faults(places, columns={**columns, "context": "contxt"})[0] == (
        'data: columns context=contxt: no row has contxt: they have "q", "r", "reply"'
    )
    assert faults(places, columns={"promt": "q"})[0].startswith(
        "data.columns: no reader knows a column promt; did you mean prompt?"
    )


def test_places_of_prompts(tmp_path):
    path = write(
        tmp_path / "d.jsonl", [{"messages": messages("a", "b")}, {"messages": messages("c", "d")}]
    )
    source = Files(**{**SETTINGS, "demonstrations": path})
    source.load()
    assert source.place("demonstrations", asked("c")) == f"{path}:2"
    assert source.place("prompts", asked("a")) == f"{path}:1"
    assert source.place("prompts", (Turn("user", "z"),)) is None

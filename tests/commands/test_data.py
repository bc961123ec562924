"""rlhf data: a report on the screen, as JSON and as markdown; nothing is trained."""

import json

import pytest

from rlhf.commands.data import main

SMALL = ["data.demonstrations=40", "data.pairs=30", "data.prompts=40"]


@pytest.fixture
def told(home, capfd):
    """told(argument, ...) -> (exit code, stdout, stderr), given in an empty folder"""

    def go(*arguments):
        code = main([*arguments])
        assert [*home.iterdir()] == []
        return code, *capfd.readouterr()

    return go


def test_the_screen_has_all_tables(told):
    code, out, err = told(*SMALL)
    assert (code, err) == (0, "")
    assert out.startswith("data=reviews, template plain\n")
    for title in ("Rows", "What the limits of the stages do", "Pairs (lengths in characters)"):
        assert f"\n{title}" in out


def test_json_has_everything_and_the_refusals(told):
    code, out, _ = told("--json", *SMALL, "sft.max_length=8")
    report = json.loads(out)
    assert code == 0
    assert [part["rows"] + part["heldout"] for part in report["parts"]][:1] == [40]
    (refusal,) = report["refusals"]
    assert refusal.startswith("sft: 100.0% of its demonstrations do not fit sft.max_length=8")
    assert report["pairs"]["tfidf"]["pairs"] == report["parts"][1]["heldout"]


def test_markdown_and_a_refusal_beneath(told):
    code, out, _ = told(*SMALL, "--markdown", "sft.max_length=8")
    assert code == 0 and out.startswith("# Data: reviews\n")
    assert "\n- A run is refused. sft: 100.0%" in out


def test_a_sweep_is_that_of_its_first_job(told):
    assert told("experiment=quickstart", *SMALL, "--json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["data=reveiws"], "did you mean data=reviews?"),
        (
            ["data=jsonl", "data.demonstrations=nowhere.jsonl", "stage=sft"],
            "nowhere.jsonl: no such file",
        ),
        (["sft.on_long=shorten"], "sft.on_long=shorten"),
        (["data.max_lost=1.5"], "data.max_lost=1.5"),
        (["data.template=nothing"], "data.template=nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence(told, arguments, reason):
    code, out, err = told(*arguments)
    assert (code, out) == (2, "") and err.startswith("One thing is wrong with this command:\n")
    assert reason in err

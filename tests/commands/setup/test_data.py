"""rlhf data: a report on the screen, as JSON and as markdown; nothing is trained."""

import json

import pytest

from rlhf.commands.setup.data import _narrow, main
from rlhf.data.report.show import Table

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
    for title in (
        "Rows",
        "What the limits of the stages do",
        "Pairs by the data's labels (lengths in characters)",
    ):
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
    assert told("-m", "kl.coef=0,0.1", *SMALL, "--json")[0] == 0


@pytest.mark.parametrize("part", ["demonstrations", "preferences", "prompts"])
def test_a_part_alone_is_reported_although_a_run_would_be_refused(home, capfd, part):
    """Whoever looks at a file need not know yet what will be trained on it."""
    row = {"prompt": "a b", "completion": " c", "chosen": " c", "rejected": " d"}
    keys = {"demonstrations": ("prompt", "completion"), "prompts": ("prompt",)}
    keys["preferences"] = ("prompt", "chosen", "rejected")
    rows = [{**{key: row[key] for key in keys[part]}, "prompt": f"a {i}"} for i in range(20)]
    (home / "own.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    assert main(["data=files", f"data.{part}=own.jsonl", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert part in [each["name"] for each in report["parts"]]
    assert any(each.startswith("data.") and "=null: " in each for each in report["refusals"])
    assert main(["data=files", f"data.{part}=own.jsonl", "kl.cof=1"]) == 2
    assert "kl.cof" in capfd.readouterr().err


def test_a_wide_table_of_few_rows_lies_on_its_side():
    wide = Table("t", ("stage", "a", "b", "c"), (("sft", "1", "2", "3"),))
    assert _narrow(wide) == Table("t", ("stage", "sft"), (("a", "1"), ("b", "2"), ("c", "3")))
    long = Table("t", ("part", "a"), (("x", "1"), ("y", "2")))
    assert _narrow(long) == long


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

"""One report, drawn as tables, markdown, JSON and the lines of a run."""

import json
from dataclasses import replace

from rlhf.data.report.show import markdown, short, tables
from tests.data.report.specs import PART, report


def cells(title_begins):
    table = next(t for t in tables(report()) if t.title.startswith(title_begins))
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_every_table_has_a_cell_for_each_column():
    for table in tables(report()):
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_the_rows_of_a_part():
    first, second = cells("Rows")
    assert first["to train on"] == "90" and first["held out"] == "10"
    assert first["turns (min / median / max)"] == "2 / 2 / 4"
    assert first["tokens (median / 95 % / max)"] == "212 / 358 / 578"
    assert (first["counted of"], second["counted of"]) == ("all", "80, evenly spaced")
    unread = report(parts=(replace(PART, tokens=None, prompt_tokens=None, measured=0),))
    assert next(iter(tables(unread))).rows[0][-1] == "-"


def test_limits_and_pairs():
    (row,) = cells("What the limits")
    assert row["lost"] == "64.0% of 100" and row["enough would be"] == "358"
    assert [r["share"] for r in cells("Pairs")] == [
        "76.0%",
        "20.0%",
        "75.0% ± 2.0% of 200 held-out pairs, 40 prompts",
        "-",
        "-",
    ]


def test_without_pairs_there_is_no_table_of_them():
    assert not [t for t in tables(report(pairs=None)) if t.title.startswith("Pairs")]


def test_markdown_draws_the_same_tables():
    text = markdown(report(), ["sft: too long"])
    assert "| demonstrations | 90 | 10 | 2 / 2 / 4 | 212 / 358 / 578 |" in text
    assert text.count("\n## ") == len(tables(report()))
    assert text.endswith("- A run is refused. sft: too long.\n")
    odd = replace(PART, first_odd="a|b.jsonl:1: why", not_alternating=1)
    assert "a\\|b.jsonl:1" in markdown(report(parts=(odd,)))


def test_json_has_shares_too():
    plain = json.loads(json.dumps(report().plain()))
    assert plain["limits"][0]["lost_share"] == 0.64
    assert plain["parts"][0]["tokens"] == {"least": 20, "median": 212, "p95": 358, "most": 578}


def test_a_run_begins_with_a_few_lines():
    assert short(report()) == [
        "data: 90 demonstrations and 10 held out, 212 tokens (95 % up to 358, most 578), 3 twice",
        "data: 90 prompts and 10 held out, 212 tokens (95 % up to 358, most 578), 3 twice",
        "data: cut, shortened or left out: sft 64.0% of sft.max_length=64",
        "data: 0 prompts on both sides of the split, by the data's labels the chosen answer is the"
        " longer one in 76%",
    ]
    odd = replace(PART, not_alternating=2)
    assert short(report(parts=(odd,)))[-1].endswith(", 2 conversations do not alternate")

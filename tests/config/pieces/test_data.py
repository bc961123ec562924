"""What the config says of data: places, columns, presets, and where classes lived before."""

import pytest
import yaml

from rlhf.config.pieces.base import BY_ADDRESS
from rlhf.config.pieces.data import Files
from rlhf.config.plugins.folders import conf_dir

FILES = ["data=files", "data.demonstrations=d.jsonl", "data.preferences=p.jsonl"]
PRESETS = [
    "gsm8k",
    "gpteacher",
    "hh_rlhf",
    "ukp_convarg",
    "qa_feedback",
    "oasst",
    "self_instruct",
    "vicuna",
    "alpaca_eval_nc",
]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("data.demonstrations=folder", "folder"),
        ("data.demonstrations='parts/*.csv'", "parts/*.csv"),
        ("data.demonstrations=hub:trl-lib/tldr:train", "hub:trl-lib/tldr:train"),
        (
            "data.demonstrations=[a.jsonl,{path: b.csv, weight: 0.5, columns: {output: reply}}]",
            [
                {"path": "a.jsonl", "weight": 1.0, "columns": {}},
                {"path": "b.csv", "weight": 0.5, "columns": {"output": "reply"}},
            ],
        ),
        ("data.columns={prompt: question, label: null}", {"prompt": "question", "label": None}),
    ],
)
def test_places_and_columns(planned, line, value):
    plan = planned(*FILES, line)
    assert plan.faults == []
    key = line.partition("=")[0].removeprefix("data.")
    assert plan.jobs[0].config.plain()["data"][key] == value


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (
            ["data.demonstrations=[]"],
            "expected a path, or a list of {path: ..., weight: ..., columns: ...}",
        ),
        (["data.demonstrations=''"], "data.demonstrations=: is empty; name a path"),
        (
            ["data.demonstrations=[3]"],
            "0: expected a path, or {path: ..., weight: ..., columns: ...}",
        ),
        (
            ["data.preferences=[a,{pth: b}]"],
            "1.pth: no such key; a place has path, weight, columns",
        ),
        (["data.preferences=[{path: b, weight: 0}]"], "0.weight: expected greater than 0"),
        (
            ["data.preferences=[{path: b, columns: {promt: x}}]"],
            "0.columns: no reader knows a column promt; did you mean prompt?",
        ),
        (["data.columns={promt: x}"], "no reader knows a column promt; did you mean prompt?"),
        (["data.columns=x"], "data.columns=x: expected keys and values or null"),
        (
            ["data.prompts=[{path: b, weight: 2}]"],
            "weight 2: a prompt is taken once; give at most 1",
        ),
        (["data.on_bad_row=drop"], "data.on_bad_row=drop: expected one of error, skip"),
        (
            ["data.demonstrations=null", "data.preferences=null"],
            "data.demonstrations=null: no rows: name a file in it, in data.preferences or in"
            " data.prompts",
        ),
    ],
)
def test_what_is_refused(planned, lines, fault):
    assert fault in planned(*FILES, *lines).faults[0]


def test_a_config_that_was_kept_finds_the_class_where_it_lives_now():
    kept = {
        "demonstrations": "d.jsonl",
        "preferences": None,
        "prompts": None,
        "gold": "vader",
        "prompt_words": 4,
        "pairs": 2000,
        "label_temperature": 0.25,
        "heldout_fraction": 0.1,
        "seed": 0,
        "vocabulary": 2000,
        "max_response_tokens": 32,
    }
    for address in ("rlhf.data.sources.jsonl.JsonLines", "rlhf.data.jsonl.JsonLines"):
        piece = BY_ADDRESS[address].model_validate({"_target_": address, **kept})
        assert isinstance(piece, Files)
        assert piece.class_path == "rlhf.data.sources.files.Files"


def test_equal_data_is_one_key(planned):
    lines = ["data.demonstrations=[a,{path: b, weight: 2}]", "data.columns={instruction: q}"]
    one, two = (planned(*FILES, *lines, f"seed={seed}").jobs[0].config.data for seed in (0, 1))
    other = planned(*FILES, lines[0]).jobs[0].config.data
    assert len({one, two, other}) == 2


def test_jsonl_is_files_by_its_older_name(planned):
    jsonl = planned("data=jsonl", *FILES[1:]).jobs[0].config
    assert jsonl.data == planned(*FILES).jobs[0].config.data


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_four_lines_that_begin_with_what_it_is_and_its_licence(name):
    comment, *lines = (conf_dir() / "data" / f"{name}.yaml").read_text().splitlines()
    assert any(line.startswith("license: ") for line in lines)
    lines = [line for line in lines if not line.startswith("license: ")]
    assert len(lines) <= 4 and lines[0] == "defaults: [files, _self_]"
    assert comment.startswith("# ")
    assert any(licence in comment for licence in ("MIT", "Apache-2.0", "CC BY"))
    assert ("NON-COMMERCIAL" in comment) == ("nc/" in "".join(lines)) == name.endswith("_nc")


def test_no_default_or_experiment_uses_the_non_commercial_set():
    for path in conf_dir().rglob("*.yaml"):
        if path.stem != "alpaca_eval_nc":
            assert "alpaca_eval" not in path.read_text() and "/nc/" not in path.read_text(), path


def test_one_key_moves_all_sets(planned):
    for name in [*PRESETS, "rt_polarity"]:
        # some have prompts alone
        alone = ["sft=none", "scorer=vader", "ppo.value_init=policy", "paths.data=/my/data"]
        (job,) = planned(f"data={name}", *alone).jobs
        text = yaml.safe_dump(job.config.plain()["data"])
        assert "/my/data/" in text and "shared" not in text

import math

import pytest

from rlhf.rundir.shapes import fitting, number

JOB = {"name": "kl0.1-fixed-seed0", "overrides": ["kl.coef=0.1"]}


def test_a_job_is_a_folder_of_its_sweep():
    names = ["../x", "a/b", "..", ".", "", "x" * 256, 3, None, "a\0b", "kl0.1"]
    kept, faults = fitting("sweep.json", {"jobs": [{"name": name} for name in names]})
    assert kept == {"jobs": [{"name": "kl0.1"}]}
    assert len(faults) == 18  # what the name is, and that the job then has none
    assert faults[:2] == [
        "jobs[0].name is '../x', expected the name of a folder",
        "jobs[0] has no name",
    ]


GIT = ({"git": "x", "hash": "a"}, {"hash": "a"}, "git is 'x', expected a mapping")
VERSIONS = {"versions": {"torch": 2.9, "numpy": "2.3"}}, {"versions": {"numpy": "2.3"}}
GOLD = ({"reward/gold": "x", "a": 1}, {"a": 1}, "reward/gold is 'x', expected a number")
JOBS = ({"jobs": [JOB, "x"]}, {"jobs": [JOB]}, "jobs[1] is 'x', expected a mapping")
ITERATION = {"iteration": "x", "kl": 1}


@pytest.mark.parametrize(
    ("name", "value", "kept", "fault"),
    [
        ("sweep.json", {"jobs": 3}, {}, "jobs is 3, expected a list"),
        ("sweep.json", *JOBS),
        ("manifest.json", *GIT),
        ("manifest.json", *VERSIONS, "versions.torch is 2.9, expected text"),
        ("status.json", {"pid": True}, {}, "pid is True, expected a whole number"),
        ("summary.json", *GOLD),
        ("launcher.json", {"jobs": {"a": 1}}, {"jobs": {}}, "jobs.a is 1, expected a mapping"),
        ("metrics.jsonl", ITERATION, None, "iteration is 'x', expected a whole number"),
        ("metrics.jsonl", {"kl": 1}, None, "it has no iteration"),
    ],
)
def test_what_does_not_fit_is_left_out_and_named(name, value, kept, fault):
    fitted, faults = fitting(name, value)
    assert fitted == kept and faults[0] == fault


def test_what_runs_write_fits():
    summary = {"reward/gold": "nan", "sft/perplexity": None, "kl.coef": 0.1, "own": [1]}
    assert fitting("summary.json", summary) == (summary, [])
    assert fitting("mine.json", {"a": {"b": [1]}}) == ({"a": {"b": [1]}}, [])


def test_values_of_another_number_than_the_prompts_are_left_out():
    row = {"iteration": 0, "prompts": "p", "responses": [1, 1], "a": [0.5, "nan"], "b": [1]}
    kept, faults = fitting("by_prompt.jsonl", row)
    assert "a" in kept and "b" not in kept and faults == ["b has 1 values, expected 2"]


def test_whole_numbers_beyond_floats_are_infinite():
    assert number(10**400) == math.inf and number(-(10**400)) == -math.inf

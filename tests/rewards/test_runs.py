"""Rewards in whole runs: from one line of the command to the metrics of the run."""

import json
import sys

import pytest

from rlhf.config.validate import ConfigError
from rlhf.data.conversations import Prompt, asked
from rlhf.rewards.checks import run_faults
from rlhf.rundir.errors import NonFinite, RunFailed
from rlhf.rundir.files import read_jsonl
from tests.rewards.test_classifier import LABELS, save

OWN = """
def letters(responses, per=1.0):
    return [len(text) / per for text in responses]

def never(responses):
    return [float("nan") for _ in responses]

def broken(responses):
    raise KeyError(responses[0][:0] or "no")
"""
LINES = ("ppo.value_init=policy", "ppo.iterations=2")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of the user's own in the working directory, allowed."""
    (tmp_path / "own_rewards.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "own_rewards")
    monkeypatch.setattr("rlhf.config.build._imported", {})
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("own_rewards", None)


def test_parts_are_measured_everywhere(own, run_in, tmp_path):
    """0.5 * sentiment + letters / 10, in training, evaluation, samples, best of n and by prompt."""
    parts = [f"+scorer@scorer.parts.{n}={o}" for n, o in (("mood", "vader"), ("long", "function"))]
    function = ["scorer.parts.long.function=own_rewards.letters", "+scorer.weights.mood=0.5"]
    function += ["+scorer.parts.long.arguments.per=10"]
    best = ["best_of_n=default", "best_of_n.samples=2", "best_of_n.prompts=4"]
    artifacts = f"paths.artifacts={tmp_path / 'artifacts'}"
    lines = ("scorer=combined", *parts, *function, *best, *LINES, artifacts)
    summary = run_in(tmp_path / "run", *lines, without="best_of_n")

    def total(row, prefix="reward/"):
        return 0.5 * row[f"{prefix}mood"] + row[f"{prefix}long"]

    assert summary["reward/combined"] == pytest.approx(total(summary), abs=1e-5)
    assert summary["ppo/score"] == pytest.approx(total(summary), abs=1e-5)
    assert {"reward/mood_se", "sft/reward/mood", "sft/reward/long"} <= summary.keys()
    assert "reward/proxy" not in summary
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert rows[1]["reward/combined"] == pytest.approx(total(rows[1]), abs=1e-5)
    for sample in read_jsonl(tmp_path / "run" / "samples.jsonl"):
        assert sample["reward/long"] == pytest.approx(len(sample["response"]) / 10, abs=1e-4)
        assert sample["reward/combined"] == pytest.approx(total(sample), abs=1e-4)
    points = json.loads((tmp_path / "run" / "best_of_n.json").read_text())["points"]
    assert points[1]["reward/combined"] >= points[0]["reward/combined"]
    assert "reward/mood" in read_jsonl(tmp_path / "run" / "by_prompt.jsonl")[-1]


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        ("never", NonFinite, "score of the judge never: nan in 16 of 16 responses"),
        ("broken", RunFailed, r"own_rewards.broken raised KeyError: .no. \(own_rewards.py:9\) for"),
    ],
)
def test_a_function_that_fails_ends_the_run_in_a_sentence(
    own, run_in, tmp_path, function, kind, sentence
):
    with pytest.raises(kind, match=sentence):
        line = f"scorer.function=own_rewards.{function}"
        run_in(tmp_path / "run", "scorer=function", line, *LINES)


def test_a_classifier_in_a_run(run_in, tmp_path, tokenizer):
    folder = tmp_path / "judge"
    path = save(folder, tokenizer, "bert", id2label=LABELS, pad_token_id=tokenizer.pad_token_id)
    lines = ("scorer=classifier", f"scorer.path={path}", "scorer.score=probability", *LINES)
    summary = run_in(tmp_path / "run", *lines, "scorer.label=POSITIVE")
    assert 0 < summary["reward/classifier"] < 1
    with pytest.raises(ConfigError, match="scorer=classifier: label=JOY: .* has no such label"):
        run_in(tmp_path / "other", *lines, "scorer.label=JOY")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="scorer=classifier: .*cannot be loaded"):
        run_in(tmp_path / "third", *lines, "scorer.label=NEUTRAL")
    assert not (tmp_path / "third" / "metrics.jsonl").exists()


def test_a_rule_that_compares_needs_references(run_in, tmp_path):
    with pytest.raises(ConfigError, match="64 of 64 prompts have none"):
        run_in(tmp_path / "run", "scorer=answer_match", *LINES)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_faults_of_a_scorer_and_its_data():
    prompts = [Prompt(turns=asked("a"), reference="1"), Prompt(turns=asked("b"))]
    (lacking,) = run_faults(["answer_match"], [], prompts, compares=True)
    assert "1 of 2 prompts have none" in lacking
    assert run_faults(["answer_match"], [], prompts[:1], compares=True) == []
    (taken,) = run_faults(["classifier"], {"classifier": None}, prompts, compares=False)
    assert taken.startswith("reward/classifier is the name of a judge of the data")

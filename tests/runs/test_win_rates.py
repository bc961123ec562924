"""Runs whose evaluations have a win rate, whole."""

import logging

import pytest

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json
from tests.annotators.chat_server import serving

ASKED = ["evaluation.win_rate=sft", "ppo.iterations=2", "evaluation.every=1"]
RATES = {
    *("win_rate", "win_rate_se", "win_rate/length_controlled", "win_rate/length_controlled_se"),
    *("win_rate/length_effect", "win_rate/ties", "win_rate/position_bias", "win_rate/first_place"),
}


def rows(directory):
    return read_jsonl(directory / "metrics.jsonl")


def test_the_win_rate_over_sft_in_every_evaluation(run_in, artifacts, tmp_path):
    summary = run_in(tmp_path / "one", *ASKED)
    assert summary.keys() >= RATES and "win_rate/unanswered" not in summary
    records = rows(tmp_path / "one")
    assert all({f"eval/{name}" for name in RATES} <= record.keys() for record in records)
    assert 0 < records[0]["eval/win_rate"] < 1 and summary["win_rate_se"] > 0
    # gold has no place of its own
    assert {record["eval/win_rate/position_bias"] for record in records} == {0.0}
    assert all(r["eval/win_rate/first_place"] == pytest.approx(0.5) for r in records)
    # the baseline is drawn once, for another seed and another coefficient too
    made = sorted((artifacts / "win_rate_baseline").glob("*/win_rate_baseline.json"))
    answers = read_json(made[0])["answers"]
    assert len(made) == 1 and len(answers) == 8
    assert {*answers[0]} == {"text", "ended"}
    run_in(tmp_path / "two", *ASKED, "seed=1", "kl.coef=0.5")
    assert sorted((artifacts / "win_rate_baseline").glob("*/*.json")) == sorted(
        [*made, *(path.with_name("manifest.json") for path in made)]
    )
    assert not [*(tmp_path / "one").rglob("win_rate_baseline*")]


def test_it_changes_nothing_of_what_is_trained(run_in, tmp_path):
    """The policy and all other numbers are those of the run without it."""
    with_rate = run_in(tmp_path / "with", *ASKED)
    without = run_in(tmp_path / "without", *ASKED[1:])
    assert with_rate["policy_sha256"] == without["policy_sha256"]
    assert with_rate["config_hash"] != without["config_hash"]
    plain = [
        {key: value for key, value in record.items() if "win_rate" not in key}
        for record in rows(tmp_path / "with")
    ]
    assert plain == rows(tmp_path / "without")


def test_a_run_that_was_stopped_has_the_same_win_rates(run_in, stop_at, tmp_path):
    import signal

    whole = run_in(tmp_path / "whole", *ASKED)
    stop_at("ppo", 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *ASKED)
    assert run_in(tmp_path / "cut", *ASKED)["win_rate"] == whole["win_rate"]
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")


def test_by_the_runs_own_reward_model(run_in, tmp_path):
    summary = run_in(tmp_path / "run", *ASKED, "annotator=reward_model", "ppo.iterations=1")
    assert 0 < summary["win_rate"] < 1


ENDPOINT = [
    *("annotator=openai", "annotator.model=fake", "annotator.api_key_env=TEST_API_KEY"),
    *("annotator.retries=0", "annotator.timeout=5", "labels=data"),
]
KEY = "sk-of-a-run-0123456789abcdef"


def by_length(question):
    first, second = question.split("Response A:\n")[1].split("\n\nResponse B:\n")
    second = second.split("\n\nAnswer with")[0]
    return "A" if len(first) > len(second) else "B"


PAIRS = ["scorer=gold", "ppo.value_init=policy"]  # nothing is labelled by the endpoint


def test_an_endpoint_is_asked_once_and_its_key_is_in_no_file(run_in, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", KEY)
    kept = f"annotator.cache={tmp_path / 'kept'}"
    with serving(by_length) as server:
        own = [*ASKED, *PAIRS, *ENDPOINT, f"annotator.base_url={server.url}", kept]
        first = run_in(tmp_path / "first", *own)
        count = len(server.asked)
        assert count and first["win_rate/unanswered"] == 0.0
        second = run_in(tmp_path / "second", *own)
    assert len(server.asked) == count and f"Bearer {KEY}" in server.keys
    assert second["win_rate"] == first["win_rate"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > count
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_an_endpoint_that_is_not_there_is_told_before_training(run_in, tmp_path, monkeypatch):
    from rlhf.config.validate import ConfigError

    monkeypatch.setenv("TEST_API_KEY", KEY)
    with serving(by_length) as server:
        own = [*ASKED, *PAIRS, *ENDPOINT, f"annotator.base_url={server.url}"]
    with pytest.raises(ConfigError, match="annotator=openai: .* does not answer"):
        run_in(tmp_path / "run", *own, "sft.seed=77")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_endpoint_that_falls_silent_costs_win_rates_alone(run_in, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TEST_API_KEY", KEY)

    def fails(question):
        return by_length(question) if len(server.asked) <= 16 else (503, "down")

    with serving(fails) as server, caplog.at_level(logging.WARNING):
        own = [*ASKED, *PAIRS, *ENDPOINT, "ppo.iterations=1", "annotator.cache=null"]
        summary = run_in(tmp_path / "run", *own, f"annotator.base_url={server.url}")
    first, last = rows(tmp_path / "run")
    assert "eval/win_rate" in first and "eval/win_rate" not in last
    assert summary["status"] == "finished" and "win_rate" not in summary
    assert "ppo, iteration 1: no win rate. annotator: http" in caplog.text
    assert any("1 of 2 evaluations have no win rate" in each for each in summary["warnings"])


@pytest.mark.slow
def test_two_ranks_have_the_same_win_rates_and_one_asks(run_in, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_API_KEY", KEY)
    shared = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    with serving(by_length) as server:
        own = [*ASKED, *PAIRS, *ENDPOINT, f"annotator.base_url={server.url}"]
        alone = run_in(tmp_path / "alone", *own, "ppo.iterations=1", "annotator.cache=null")
        count = len(server.asked)
        both = [*own, "ppo.iterations=1", "annotator.cache=null"]
        together = run_in(tmp_path / "both", *both, *shared)
        assert len(server.asked) < 2.5 * count
    assert together["win_rate"] == pytest.approx(alone["win_rate"], abs=0.2)

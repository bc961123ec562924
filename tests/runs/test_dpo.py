"""Runs of algorithm=dpo: whole, cut and gone on with, beside one of PPO, and on pairs that are
sampled."""

import signal
import sys

import pytest

from rlhf.rundir.files import read_jsonl
from tests.conftest import SMALL

DPO = ["algorithm=dpo", "scorer=gold"]
MODULE = """
from dataclasses import replace

from rlhf.data.sources.reviews import Reviews


class Unlabelled(Reviews):
    parts = frozenset({"demonstrations", "prompts"})

    def load(self):
        return replace(super().load(), preferences=None)
"""


def test_it_ends_with_what_every_run_has_and_trains_no_reward_model(run_in, artifacts, tmp_path):
    summary = run_in(tmp_path / "run", *DPO)
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert summary["status"] == "finished" and [row["iteration"] for row in rows] == [*range(5)]
    assert {"reward/gold", "reward/gold_se", "kl/sequence_nats", "objective"} <= summary.keys()
    assert {"preference/accuracy", "preference/margin", "preference/loss"} <= summary.keys()
    assert summary["episodes"] == 0 and rows[-1]["preference/pairs"] == 64
    assert summary["kl.descends"] == "no penalty: kl.coef is the beta of DPO's implied reward"
    assert "reward_model" not in summary["fingerprints"]
    (artifact,) = (artifacts / "ppo").glob(summary["fingerprints"]["ppo"])
    assert (artifact / "model.safetensors").is_file()
    sft = artifacts / "sft" / summary["fingerprints"]["sft"] / "model.safetensors"
    assert (artifact / "model.safetensors").read_bytes() != sft.read_bytes()
    assert rows[-1]["eval/preference/margin"] == pytest.approx(summary["preference/margin"])


def test_the_reward_model_that_its_evaluations_ask_for_is_trained(run_in, tmp_path):
    summary = run_in(tmp_path / "run", "algorithm=dpo", "ppo.iterations=1")
    assert "reward_model" in summary["fingerprints"] and "reward/proxy" in summary


def test_it_resumes_to_the_same_bytes(run_in, stop_at, tmp_path):
    from rlhf.rundir.errors import Stopped

    lines = [*DPO, "ppo.inner_epochs=2", "ppo.micro_batch_size=4"]
    run_in(tmp_path / "whole", *lines)
    stop_at("ppo", 2, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "cut", *lines)
    assert len(read_jsonl(tmp_path / "cut" / "metrics.jsonl")) == 3
    run_in(tmp_path / "cut", *lines)
    run_in(tmp_path / "again", *lines)
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        whole = (tmp_path / "whole" / file).read_bytes()
        assert (tmp_path / "cut" / file).read_bytes() == whole
        assert (tmp_path / "again" / file).read_bytes() == whole


@pytest.mark.slow
def test_beside_a_run_of_ppo_the_algorithm_is_a_setting(run_in, tmp_path):
    from rlhf.compare.comparison import compare

    lines = ["scorer=gold", "ppo.iterations=2", "ppo.value_init=policy"]
    for algorithm in ("ppo", "dpo"):
        run_in(tmp_path / "runs" / algorithm, *lines, f"algorithm={algorithm}")
    result = compare(tmp_path / "runs", track=False)
    assert "algorithm" in result.files["runs.csv"].read_text().splitlines()[0].split(",")
    report = result.files["report.md"].read_text()
    assert "algorithm" in report and "dpo" in report


@pytest.mark.slow
def test_pairs_are_sampled_where_the_data_has_none(artifacts, tmp_path, monkeypatch):
    """The very pairs that a reward model of the run would learn from."""
    from rlhf.config.compose import compose, validate
    from rlhf.runs.run import run

    (tmp_path / "unlabelled.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "unlabelled")
    lines = [*SMALL, f"paths.artifacts={artifacts}", "data._target_=unlabelled.Unlabelled"]
    lines += ["ppo.iterations=1", "algorithm=dpo"]
    alone = run(validate(compose([*lines, "scorer=gold"])), directory=tmp_path / "alone")
    beside = run(validate(compose(lines)), directory=tmp_path / "beside")
    sys.modules.pop("unlabelled", None)
    assert "reward_model" in beside["fingerprints"] and "reward_model" not in alone["fingerprints"]
    rows = [read_jsonl(tmp_path / name / "metrics.jsonl")[-1] for name in ("alone", "beside")]
    assert rows[0]["preference/loss"] == rows[1]["preference/loss"]


def test_the_oracle_sees_it(run_in, tmp_path):
    micro = ["data=micro", "data.vocabulary=2", "data.prompts=4", "data.max_response_tokens=3"]
    micro += ["data.demonstrations=64", "data.pairs=48", "callbacks=oracle", "~callbacks.progress"]
    run_in(tmp_path / "run", *DPO, *micro, without="data.")
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert last["oracle/objective"] < last["oracle/optimum"]


def test_an_adapter_learns_the_pairs(run_in, tmp_path):
    """Policy and reference on one network; the reference is that without the policy's adapter."""
    lines = ["model/adapter=lora", "ppo.iterations=2", "ppo.optimizer.lr=0.01"]
    run_in(tmp_path / "run", *DPO, *lines)
    first, _, last = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert first["eval/preference/margin"] == 0 != last["eval/preference/margin"]
    assert (tmp_path / "run" / "policy" / "adapter_model.safetensors").is_file()

"""An algorithm from outside the package: a module file and two YAMLs, run as any other."""

import json
import signal
import sys

import pytest

from rlhf.rundir.files import read_jsonl
from tests.conftest import SMALL

MODULE = '''
"""REINFORCE with the mean reward of the batch as its baseline."""

from rlhf.modules.advantage import Advantages
from rlhf.modules.online import OnlineModule


class BatchMean:
    needs_values = False

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, rewards, values, mask, groups):
        total = rewards.sum(1, keepdim=True)
        return Advantages(advantages=self.scale * (total - total.mean()) * mask)


class Reinforce(OnlineModule):
    needs_values = False

    def loss(self, batch, reduce):
        old = batch.experience
        read = self.read(old.rollout)
        policy_loss = reduce(-old.advantages * read.logp, old.mask)
        return self.with_limits(policy_loss, read, batch, reduce)
'''
TOY = [
    "algorithm=reinforce",
    "advantage=batch_mean",
    "scorer=gold",
    "ppo.iterations=2",
    "ppo.inner_epochs=1",
    "evaluation.every=1",
    "ppo.lr_warmup=0",
]


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """The user's own folder of config groups; the module is allowed and importable."""
    (tmp_path / "reinforce_of_mine.py").write_text(MODULE)
    for group, name, text in (
        ("algorithm", "reinforce", "_target_: reinforce_of_mine.Reinforce\n"),
        ("advantage", "batch_mean", "_target_: reinforce_of_mine.BatchMean\nscale: 2.0\n"),
    ):
        folder = tmp_path / "conf" / group
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RLHF_ALLOW_TARGETS", "reinforce_of_mine")
    yield tmp_path / "conf"
    sys.modules.pop("reinforce_of_mine", None)


@pytest.fixture
def run_toy(conf, artifacts):
    """run_toy(directory, *overrides) -> summary"""

    def go(directory, *overrides):
        from rlhf.config.compose import compose, validate
        from rlhf.runs.run import run

        lines = [*SMALL, f"paths.artifacts={artifacts}", *TOY, *overrides]
        cfg = validate(compose(lines, config_dir=conf))
        return run(cfg, directory=directory)

    return go


def test_it_trains_without_a_value_model_and_without_a_reward_model(run_toy, artifacts, tmp_path):
    summary = run_toy(tmp_path / "run")
    rows = read_jsonl(tmp_path / "run" / "metrics.jsonl")
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    assert summary["status"] == "finished" and rows[-1]["trust_region/kl"] > 0
    assert not [name for row in rows for name in row if "value" in name or "variance" in name]
    assert {"ppo/policy_loss", "ppo/kl_loss", "policy/entropy"} <= rows[-1].keys()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert "reward_model" not in manifest["fingerprints"]
    sft = artifacts / "sft" / manifest["fingerprints"]["sft"] / "model.safetensors"
    assert (tmp_path / "run" / "policy" / "model.safetensors").read_bytes() != sft.read_bytes()


def test_it_resumes_to_the_same_bytes(run_toy, stop_at, tmp_path):
    from rlhf.rundir.errors import Stopped

    run_toy(tmp_path / "whole")
    stop_at("ppo", 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_toy(tmp_path / "cut")
    assert len(read_jsonl(tmp_path / "cut" / "metrics.jsonl")) == 2
    run_toy(tmp_path / "cut")
    for file in ("metrics.jsonl", "samples.jsonl", "policy/model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_its_needs_are_asked_before_anything_runs(conf):
    from rlhf.config.compose import ConfigError, compose, validate

    with pytest.raises(ConfigError, match="advantage=gae: needs a value model, and algorithm=rein"):
        validate(compose([*TOY, "advantage=gae"], config_dir=conf))
    with pytest.raises(ConfigError, match="ppo.critic_warmup=1: there is no value model to train"):
        validate(compose([*TOY, "ppo.critic_warmup=1"], config_dir=conf))


def test_its_advantage_works_under_ppo(run_toy, tmp_path):
    run_toy(tmp_path / "run", "algorithm=ppo")
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert "ppo/clip_fraction" in last and "ppo/value_loss" not in last


def test_the_oracle_sees_it(run_toy, tmp_path):
    micro = ["data=micro", "data.vocabulary=2", "data.prompts=4", "data.max_response_tokens=3"]
    run_toy(tmp_path / "run", *micro, "callbacks=oracle", "~callbacks.progress")
    last = read_jsonl(tmp_path / "run" / "metrics.jsonl")[-1]
    assert last["oracle/objective"] < last["oracle/optimum"]

"""Stages that train a part of a network, and on a part of the rows."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from rlhf.rundir.errors import ModelError, Stopped
from rlhf.rundir.read import read_json
from rlhf.stages.rows import drawn_rows


def weights(store, stage):
    (file,) = (store / stage).glob("*/model.safetensors")
    return load_file(file)


def manifest(store, stage):
    (file,) = (store / stage).glob("*/manifest.json")
    return read_json(file)


def test_drawn_rows():
    rows = tuple("abcdefgh")
    some = drawn_rows(rows, 3, "sft", 0)
    assert len(some) == 3
    assert some == tuple(sorted(some))
    assert some == drawn_rows(rows, 3, "sft", 0)
    assert {tuple(drawn_rows(rows, 3, "sft", seed)) for seed in range(8)} != {tuple(some)}
    assert drawn_rows(rows, 8, "sft", 0) is rows
    assert drawn_rows(rows, None, "sft", 0) is rows


def test_a_reward_model_on_a_frozen_backbone(run_in, tmp_path):
    """Its backbone is the SFT policy's, bit for bit; stopped and taken up again, it is the same
    reward model."""
    store = tmp_path / "one"
    lines = ["stage=reward_model", "reward_model.trained=head", "reward_model.optimizer.lr=0.05"]
    run_in(tmp_path / "a", *lines, f"paths.artifacts={store}")
    policy, judge = weights(store, "sft"), weights(store, "reward_model")
    backbone = judge.keys() & policy.keys()
    assert {*judge} - backbone == {"score.weight"}
    assert all(torch.equal(policy[name], judge[name]) for name in backbone)


def test_a_frozen_backbone_is_read_the_same_after_a_stop(run_in, tmp_path, stop_at):
    lines = ["stage=reward_model", "reward_model.trained=head", "reward_model.epochs=3"]
    one, two = tmp_path / "one", tmp_path / "two"
    run_in(tmp_path / "a", *lines, f"paths.artifacts={one}")
    stop_at("reward_model", 1, signal.SIGTERM)
    with pytest.raises(Stopped):
        run_in(tmp_path / "b", *lines, f"paths.artifacts={two}")
    run_in(tmp_path / "b", *lines, f"paths.artifacts={two}")
    whole, resumed = weights(one, "reward_model"), weights(two, "reward_model")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_last_layer_of_sft_and_some_of_the_rows(run_in, tmp_path):
    """What lies below the last layer is the same whatever the rows; the rest is trained."""
    lines = ["stage=sft", "model.layers=2", "sft.epochs=1", "sft.trained='last:1'"]
    summaries, stores = [], [tmp_path / "one", tmp_path / "two"]
    for store, more in zip(stores, ("sft.max_rows=20", "sft.max_rows=30"), strict=True):
        run_in(store / "run", *lines, more, f"paths.artifacts={store}")
        summaries.append(manifest(store, "sft"))
    assert [summary["metrics"]["rows"] for summary in summaries] == [20, 30]
    one, two = (weights(store, "sft") for store in stores)
    below = {name for name in one if "layers.0." in name or "embed" in name}
    assert below
    assert {name for name in one if torch.equal(one[name], two[name])} == below


def test_more_layers_than_the_model_has_are_refused_before_anything_is_trained(run_in, tmp_path):
    with pytest.raises(ModelError, match="reward_model.trained=last:2: the model has 1 layers"):
        run_in(tmp_path / "a", "reward_model.trained='last:2'", f"paths.artifacts={tmp_path}/s")
    assert not (tmp_path / "s" / "sft").exists()

"""A run's directory as an entry: its state, numbers and damage."""

import json

import pytest

from rlhf.inventory.entries import Key
from rlhf.inventory.runs import read_run
from tests.inventory.made import PRINTS, stand_on


def test_a_finished_run(rundirs, tmp_path):
    run = stand_on(
        rundirs.make_run(tmp_path / "unit" / "a", gold=1.5, kl=4.0, seed=3),
        *("sft", "reward_model"),
        own="f" * 16,
        seed=3,
    )
    entry = read_run(run)
    assert (entry.state, entry.damage, entry.stage) == ("finished", (), "ppo")
    assert (entry.study, entry.sweep, entry.seed) == ("unit", "unit", 3)
    assert (entry.reward.name, entry.reward.value, entry.reward.se) == ("gold", 1.5, 0.1)
    assert (entry.kl.value, entry.kl.se) == (4.0, 0.1)
    assert entry.changed == 1_700_000_099
    assert entry.parents == (
        Key("sft", PRINTS["sft"]),
        Key("reward_model", PRINTS["reward_model"]),
    )
    assert entry.made == Key("ppo", "f" * 16)
    assert not entry.is_resumable and entry.checkpoint is None


def test_without_gold_the_proxy_counts(rundirs, tmp_path):
    entry = read_run(rundirs.make_run(tmp_path / "a", gold=None, proxy=2.0))
    assert (entry.reward.name, entry.reward.value) == ("proxy", 2.0)


def test_a_run_that_was_cut_has_the_numbers_of_its_last_row(rundirs, tmp_path):
    """Three iterations from gold 1 and KL 0 to 1.5 and 4; a process that is gone."""
    run = rundirs.make_run(tmp_path / "a", state="running", gold=1.5, kl=4.0)
    (run / "checkpoints").mkdir()
    for name in ("iteration-000001.ckpt", "iteration-000001.sha256", "iteration-000002.ckpt"):
        (run / "checkpoints" / name).write_text("x")
    entry = read_run(run)
    assert (entry.state, entry.is_resumable) == ("cut", True)
    assert entry.checkpoint == 1  # the other lacks its digest
    assert (entry.reward.value, entry.kl.value) == (1.5, 4.0)
    assert (entry.iteration, entry.made) == (3, None)
    assert 0 < entry.checkpoints.bytes < entry.disk.bytes


def test_a_job_that_has_not_begun(tmp_path):
    entry = read_run(tmp_path / "none")
    assert (entry.state, entry.damage, entry.disk.bytes) == ("not started", (), 0)
    assert entry.changed is None and entry.reward is None


def test_an_ensemble_has_further_reward_models(rundirs, tmp_path):
    run = stand_on(rundirs.make_run(tmp_path / "a"), "sft", ensemble=["m1", "m2"])
    assert read_run(run).parents[1:] == (Key("reward_model", "m1"), Key("reward_model", "m2"))


DAMAGES = {
    "summary": ("summary.json", b'{"status": "fini', "summary.json: it is no whole JSON"),
    "manifest": ("manifest.json", b"\xff\xfe", "manifest.json: it is no text"),
    "status": ("status.json", b"[]", "status.json: it holds a list"),
}


@pytest.mark.parametrize("name, content, sentence", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named(rundirs, tmp_path, caplog, name, content, sentence):
    run = stand_on(rundirs.make_run(tmp_path / "a"), "sft")
    (run / name).write_bytes(content)
    assert any(line.startswith(sentence) for line in read_run(run).damage)
    assert caplog.records == []  # it is the entry that says so


def test_a_file_that_is_gone_or_cut_short(rundirs, tmp_path):
    run = rundirs.make_run(tmp_path / "a")
    (run / "policy").mkdir()
    (run / "policy" / "model.safetensors").write_bytes(b"w" * 100)
    stand_on(run, "sft")
    (run / "policy" / "model.safetensors").write_bytes(b"w" * 60)
    (run / "timings.jsonl").unlink()
    assert set(read_run(run).damage) == {
        "timings.jsonl is gone",
        "policy/model.safetensors has 60 bytes of 100",
    }


def test_a_manifest_that_was_edited(rundirs, tmp_path):
    run = stand_on(rundirs.make_run(tmp_path / "a"), "sft")
    edited = {**json.loads((run / "manifest.json").read_text()), "stage": "sft"}
    (run / "manifest.json").write_text(json.dumps(edited))
    assert read_run(run).damage == ("manifest.json: it is not what was written",)

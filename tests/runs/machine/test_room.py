import logging
import shutil
import threading

import pytest

from rlhf.config.compose import compose, validate
from rlhf.config.validate import ConfigError
from rlhf.models.load import TinyModel, parameter_count
from rlhf.rundir.disk.space import DiskError
from rlhf.rundir.status import read_status
from rlhf.runs.machine import room
from rlhf.runs.machine.faults import machine_faults
from tests.conftest import SMALL


def test_a_run_that_cannot_fit_is_refused_before_it_trains(run_in, small_disk):
    disk = small_disk("60k")
    with pytest.raises(DiskError, match="kB are free, and the run .*will write at least 120.0 kB"):
        run_in(disk / "run", f"paths.artifacts={disk / 'artifacts'}")
    assert not (disk / "artifacts").exists()
    assert read_status(disk / "run")["state"] == "failed"


def test_an_ensemble_has_room_for_each_of_its_reward_models(run_in, small_disk):
    """120 kB as above, and two more reward models of 24 kB."""
    disk = small_disk("60k")
    with pytest.raises(DiskError, match="will write at least 168.0 kB"):
        run_in(disk / "run", f"paths.artifacts={disk / 'artifacts'}", "scorer=ensemble")


def test_a_run_that_may_not_fit_is_warned_of(run_in, small_disk, caplog):
    """It is told which file had no room, and goes on when there is."""
    disk = small_disk("300k")
    with caplog.at_level(logging.WARNING), pytest.raises(DiskError, match="no space is left"):
        run_in(disk / "run", f"paths.artifacts={disk / 'artifacts'}", "model.hidden_size=24")
    assert "with its checkpoints: it may fill up" in caplog.text
    assert not [*disk.rglob(".*.tmp")]


def test_folders_that_cannot_be_written_are_config_faults(small_disk, run_in, tmp_path):
    disk = small_disk("1m", "ro")
    cfg = validate(compose([*SMALL, f"paths.outputs={disk}/o", f"paths.sweeps={disk}/s"]))
    closed = f"{disk} is on a file system that is read-only"
    assert machine_faults([cfg]) == [f"paths.outputs={disk}/o: {closed}"]
    assert machine_faults([cfg], sweep=True) == [
        f"paths.sweeps={disk}/s: {closed}",
        f"paths.outputs={disk}/o: {closed}",
    ]
    with pytest.raises(ConfigError, match="read-only"):
        run_in(tmp_path / "run", f"paths.artifacts={disk}/a")


def test_parameters_are_counted_without_the_model(tokenizer):
    piece = TinyModel(architecture="llama", hidden_size=16, layers=2, heads=2, seed=0)
    model = piece.causal_lm(tokenizer)
    assert parameter_count(piece.config(tokenizer)) == model.num_parameters()


def test_a_checkpoint_that_is_removed_while_it_is_counted_counts_nothing(tmp_path):
    """As another run at work does with its older ones: the name is there, the file is not."""
    folder = tmp_path / "sft" / "abc.work" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "iteration-000002.ckpt").write_bytes(b"12345")
    (folder / "iteration-000001.ckpt").symlink_to(folder / "gone")
    assert room._held(tmp_path, "sft") == 5


def test_of_adapters_little_is_written(tmp_path):
    """A policy of 1000 bytes and adapters of 10. Each stage leaves an adapter; PPO has checkpoints
    of policy and value model: 30 + 20 at least, 30 + 3 * 3 * 20 at most. A reward model's head
    alone counts nothing, an SFT of all weights their size."""
    stages = ("sft", "reward_model", "ppo")

    def needs(*words):
        cfg = validate(compose([*words, f"paths.artifacts={tmp_path}"]))
        (need,) = room.disk_needs(cfg, tmp_path / "run", stages, 1000, adapter=10)
        return need.least, need.most

    assert needs("model/adapter=lora") == (50, 210)
    assert needs("model/adapter=head") == (40, 200)
    assert needs("model/adapter=lora", "sft.trained=all") == (2000, 10_000)
    assert needs()[0] == 5000


def test_a_folder_that_another_run_makes_meanwhile_is_no_fault(tmp_path):
    """Tried often, for it is a race."""
    artifacts = tmp_path / "outputs/a/b/artifacts"
    cfg = validate(compose([f"paths.artifacts={artifacts}"]))
    for _ in range(200):
        both = threading.Barrier(2)

        def another(both=both):
            both.wait()
            artifacts.mkdir(parents=True)

        thread = threading.Thread(target=another)
        thread.start()
        both.wait()
        (need,) = room.disk_needs(cfg, tmp_path / "run", ["sft", "reward_model", "ppo"], 1000)
        thread.join()
        shutil.rmtree(tmp_path / "outputs")
        assert need.least == 5000


def test_each_point_of_a_path_leaves_a_policy(tmp_path):
    """Three points of 1000 bytes: two more than a run of one coefficient, and with the states of
    their ends, policy and value model with their moments, 2 * 3 * 2000 more."""

    def needs(*words):
        cfg = validate(compose([*words, f"paths.artifacts={tmp_path}"]))
        (need,) = room.disk_needs(cfg, tmp_path / "run", ["ppo"], 1000)
        return need.least, need.most

    path = ["kl/controller=path", "kl.coef=0.1", "kl.controller.points=3"]
    keep = "checkpoints.after_finish=last"
    assert needs("kl.coef=0.1") == (3000, 19_000)
    assert needs(*path) == (5000, 21_000)
    assert needs(*path, keep) == (5000 + 2 * 2000, 21_000 + 2 * 3 * 2000)

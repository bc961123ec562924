"""What a command would do with a run's directory, by what is in it."""

from pathlib import Path

import pytest

from rlhf.config.naming import HASH_VERSION, run_hash
from rlhf.rundir import noted
from rlhf.rundir.files import append_jsonl
from rlhf.rundir.status import write_status
from rlhf.runs.planned.jobs import PlannedRun, planned_run, reached


@pytest.fixture
def begun(cfg, tmp_path, monkeypatch):
    """begun(state=..., hash=...) -> the directory of the config's run, as its start leaves it"""
    monkeypatch.chdir(tmp_path)

    def make(state="stopped", **facts):
        directory = tmp_path / "run"
        directory.mkdir()
        plain = cfg.plain()
        manifest = {"kind": "run", "stage": "ppo", "hash": run_hash(plain), "config": plain}
        own = {**manifest, "hash_version": HASH_VERSION, **facts}
        noted.write_manifest(directory / "manifest.json", own)
        write_status(directory, state=state)
        return directory

    return make


def checkpoint(directory, iteration, *ends):
    (directory / "checkpoints").mkdir(exist_ok=True)
    for end in ends or ("ckpt", "sha256"):
        (directory / "checkpoints" / f"iteration-{iteration:06}.{end}").touch()


def test_what_is_not_there_starts(cfg, tmp_path):
    run = planned_run(cfg, tmp_path / "a" / "run", overrides=["kl.coef=0.1"])
    assert (run.state, run.would, run.at, run.iterations) == ("not started", "start", 0, 4)
    assert (run.name, run.overrides, run.hash) == ("run", ("kl.coef=0.1",), run_hash(cfg.plain()))
    assert run.is_missing and run.left == 1.0 and not (tmp_path / "a").exists()


def test_one_that_was_stopped_goes_on_from_its_last_whole_checkpoint(cfg, begun):
    """Recorded up to 3: the checkpoint of 4 is ahead of that, the one of 2 has no digest."""
    directory = begun()
    append_jsonl(directory / "metrics.jsonl", [{"iteration": i} for i in range(4)])
    for iteration, ends in ((1, ()), (2, ("ckpt",)), (4, ())):
        checkpoint(directory, iteration, *ends)
    run = planned_run(cfg, directory)
    assert (run.state, run.would, run.at, run.left) == ("stopped", "resume", 1, 0.75)
    assert reached(directory) == 1


def test_one_without_a_checkpoint_goes_on_from_its_beginning(cfg, begun):
    run = planned_run(cfg, begun("failed"))
    assert (run.state, run.would, run.at, run.left) == ("failed", "resume", 0, 1.0)


def test_one_that_is_at_work_is_waited_for(cfg, begun):
    run = planned_run(cfg, begun("running"))  # by this process
    assert (run.would, run.is_missing) == ("wait", True)


def test_one_that_is_finished_is_left_or_mended(cfg, begun):
    directory = begun("finished")
    append_jsonl(directory / "metrics.jsonl", [{"iteration": 4}])
    noted.conclude(directory, {"status": "finished"})
    run = planned_run(cfg, directory)
    assert (run.would, run.is_missing) == ("nothing", False)
    (directory / "metrics.jsonl").write_text("")
    assert planned_run(cfg, directory).would == "mend"


def test_that_of_another_config_or_version_is_refused(cfg, begun):
    directory = begun(hash="0" * 8)
    run = planned_run(cfg, directory)
    assert (run.would, run.is_missing) == ("be refused", False)
    assert run.why == f"{directory} belongs to another config (hash 00000000)"
    noted.write_manifest(directory / "manifest.json", {"hash_version": HASH_VERSION - 1})
    assert "was made before version" in planned_run(cfg, directory).why


def test_a_damaged_manifest_says_nothing(cfg, begun):
    directory = begun()
    (directory / "manifest.json").write_text("{")
    assert planned_run(cfg, directory).would == "start"
    append_jsonl(directory / "metrics.jsonl", [{"iteration": 2}])
    checkpoint(directory, 2)
    run = planned_run(cfg, directory)
    assert (run.would, run.at) == ("resume", 2)


def test_what_is_left_of_a_run():
    run = PlannedRun(
        name="r", hash="", directory=Path(), overrides=(), state="", would="resume", at=3
    )
    assert run.left == 1.0  # a stage alone counts no iterations

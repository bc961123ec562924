import multiprocessing
import os
import shutil
import signal
import time

import pytest

from rlhf.rundir.disk.uses import alone, users
from rlhf.rundir.files import write_json
from rlhf.stages.artifacts import ArtifactStore, manifest_of
from rlhf.stages.provenance import whole


def make(work):
    (work / "weights").write_text("w")
    return {"metrics": {"loss": 1.0}}


def slow_maker(root, log, seconds):
    def make_slowly(work):
        with open(log, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return make(work)

    ArtifactStore(root).get("sft", "abc", make_slowly)


def test_made_once_then_found(tmp_path):
    store, calls = ArtifactStore(tmp_path), []
    for _ in range(2):
        path = store.get("sft", "abc", lambda work: (calls.append(work), make(work))[1])
    assert len(calls) == 1 and path == tmp_path / "sft" / "abc"
    assert (path / "weights").read_text() == "w" and manifest_of(path)["metrics"] == {"loss": 1.0}
    assert store.find("sft", "other") is None


def test_two_processes_that_need_one_stage_train_it_once(tmp_path):
    log = tmp_path / "log"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=slow_maker, args=(tmp_path, log, 1.0)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(log.read_text().splitlines()) == 1


def test_a_dead_owners_lock_is_taken_over_and_its_work_gone_on_with(tmp_path):
    log = tmp_path / "log"
    worker = multiprocessing.get_context("spawn").Process(
        target=slow_maker, args=(tmp_path, log, 600)
    )
    worker.start()
    while not log.exists():
        time.sleep(0.05)
    (tmp_path / "sft" / "abc.work" / "half").write_text("done")
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(60)
    store, waited = ArtifactStore(tmp_path), []
    path = store.get("sft", "abc", make, waiting=lambda: waited.append(1))
    assert (path / "half").read_text() == "done" and not waited


def test_a_failed_maker_publishes_nothing(tmp_path):
    store = ArtifactStore(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.get("sft", "abc", lambda work: 1 / 0)
    assert store.find("sft", "abc") is None
    assert store.get("sft", "abc", make).name == "abc"


def test_a_folder_without_a_manifest_is_not_an_artifact_and_is_not_deleted(tmp_path):
    (tmp_path / "sft" / "abc").mkdir(parents=True)
    (tmp_path / "sft" / "abc" / "mine").write_text("keep")
    ArtifactStore(tmp_path).get("sft", "abc", make)
    aside = next((tmp_path / "sft").glob("abc.incomplete-*"))
    assert (aside / "mine").read_text() == "keep"


@pytest.mark.parametrize("can_link", [True, False])
def test_files_of_another_folder_become_an_artifact(tmp_path, monkeypatch, can_link):
    """Weights are one file under two names where the disk can do that; a half-made folder is no
    hindrance, and a changed tokenizer beside the run does not change the artifact's."""
    for folder in ("policy", "store/ppo/abc.work"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("model.safetensors", "tokenizer.json"):
            (tmp_path / folder / name).write_text(folder)
    if not can_link:
        monkeypatch.setattr(os, "link", lambda *names: (_ for _ in ()).throw(OSError("no links")))
    store, policy = ArtifactStore(tmp_path / "store"), tmp_path / "policy"
    path = store.put("ppo", "abc", policy, lambda: {"metrics": {}})
    assert manifest_of(path)["metrics"] == {}
    weights = "model.safetensors"
    assert (path / weights).samefile(policy / weights) == can_link
    assert (path / weights).read_text() == "policy"
    (policy / "tokenizer.json").write_text("another")
    assert (path / "tokenizer.json").read_text() == "policy"
    assert store.put("ppo", "abc", tmp_path / "nowhere", dict) == path


def test_a_kill_while_it_was_published_costs_nothing(tmp_path, monkeypatch):
    """Its checkpoints are gone, but all is made: it is not made again."""

    class Killed(BaseException):
        pass

    rmtree = shutil.rmtree

    def kill_after(path, **kwargs):
        rmtree(path, **kwargs)
        raise Killed

    def make_with_checkpoint(work):
        (work / "checkpoints").mkdir()
        (work / "checkpoints" / "iteration-000001.ckpt").write_text("c")
        return make(work)

    store, work = ArtifactStore(tmp_path), tmp_path / "sft" / "abc.work"
    with monkeypatch.context() as killed, pytest.raises(Killed):
        killed.setattr(shutil, "rmtree", kill_after)
        store.get("sft", "abc", make_with_checkpoint)
    assert (work / "weights").exists() and not (tmp_path / "sft" / "abc").exists()
    path = store.get("sft", "abc", lambda work: 1 / 0)
    assert store.find("sft", "abc") == path and not (path / "checkpoints").exists()


def test_what_is_damaged_before_it_is_published_is_made_again(tmp_path):
    store, work = ArtifactStore(tmp_path), tmp_path / "sft" / "abc.work"
    work.mkdir(parents=True)
    write_json(work / "manifest.json", whole.sealed(make(work), work))
    (work / "weights").write_text("x")
    assert (store.get("sft", "abc", make) / "weights").read_text() == "w"


def test_an_artifact_of_another_store_that_a_config_names_is_held(tmp_path):
    """As long as the run lives, and noted afterwards; a folder that is none is left alone."""
    place, copy = tmp_path / "first" / "sft" / "abc", tmp_path / "copy"
    for folder in (place, copy):
        write_json(folder / "manifest.json", {"kind": "artifact", "hash": "abc"})
    config = {"sft": {"path": str(place)}, "data": {"path": str(copy), "rows": 3}, "name": "a\0"}
    store = ArtifactStore(tmp_path / "second", user=tmp_path / "run")
    store.keep_named(config)
    with alone(place) as nobody:
        assert not nobody
    del store
    with alone(place) as nobody:
        assert nobody
    assert [user.directory for user in users(place)] == [str(tmp_path / "run")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "first"]

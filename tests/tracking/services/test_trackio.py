"""Trackio's database as Trackio itself reads it."""

import json

import pytest

from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.services.table import other_links
from rlhf.tracking.services.trackio import Trackio, TrackioSink
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.state import read_own

pytest.importorskip("trackio", reason="pip install 'rlhf[trackio]'")
KEY = "eval/reward/proxy"


@pytest.fixture
def storage(tmp_path, monkeypatch):
    from trackio import sqlite_storage, utils

    for module in (sqlite_storage, utils):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio")
    return sqlite_storage.SQLiteStorage


def follow(directory, *, status="FINISHED", **shown):
    tracker = Trackio("unit")
    said = {"name": "kl.coef=0.05", "params": {"kl.coef": 0.05}, "tags": {"sweep": "s"}}
    tracker.begin(directory, **said | shown)
    tracker.notify()
    return tracker.finish(status, timeout=60)


def logs(storage, directory):
    key = read_own(directory, TrackioSink.file)["key"]
    return storage.get_logs("unit", "kl.coef=0.05", run_id=key)


def points(storage, directory, key=KEY):
    return [(row["step"], row[key]) for row in logs(storage, directory) if key in row]


def test_a_finished_run_arrives_whole(storage, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    rundirs.append(directory / "samples.jsonl", {"iteration": 3, "prompt": "a", "response": "b"})
    rundirs.append(
        directory / "system.jsonl", {"sample": 0, "time": 1_700_000_000, "cpu_percentage": 5.0}
    )
    assert follow(directory, params={"kl.coef": 0.05, "hub.token": "hf_abc"}) is None
    assert not pending(directory)
    rows = logs(storage, directory)
    assert points(storage, directory) == [(i, float(i)) for i in range(4)]
    assert rows[1]["timestamp"] == "2023-11-14T22:13:21+00:00"
    assert points(storage, directory, "final/reward/proxy") == [(3, 3.0)]
    assert rows[-1]["samples"]["_value"] == [{"prompt": "a", "response": "b", "iteration": 3}]
    assert rows[-1]["status"] == "FINISHED"
    key = read_own(directory, TrackioSink.file)["key"]
    config = storage.get_run_config("unit", "kl.coef=0.05", run_id=key)
    assert (config["kl.coef"], config["hub.token"], config["_Group"]) == (0.05, "***", "s")
    (seen,) = storage.get_system_logs("unit", "kl.coef=0.05", run_id=key)
    assert seen["system/cpu_percentage"] == 5.0
    assert other_links(directory) == {"trackio": "trackio show --project unit"}


def test_killed_and_resumed_every_iteration_is_there_once(storage, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(whole[:3]))
    state = Trackio("unit").opened(directory, name="kl.coef=0.05", params={}, tags={})
    killed = Delivery(TrackioSink(directory, state))
    killed.advance()
    killed.release()
    state = read_own(directory, TrackioSink.file)
    (directory / TrackioSink.file).write_text(json.dumps(state | {"delivered": 0}))
    metrics.write_text("".join(whole))
    assert follow(directory) is None
    assert points(storage, directory) == [(i, float(i)) for i in range(4)]


def test_killed_before_its_first_iteration(storage, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    whole = (directory / "metrics.jsonl").read_text()
    (directory / "metrics.jsonl").write_text("")
    assert follow(directory, status="KILLED") is None
    (directory / "metrics.jsonl").write_text(whole)
    assert follow(directory) is None
    assert points(storage, directory) == [(i, float(i)) for i in range(4)]


def test_a_name_that_trackio_does_not_take_stops_no_run(storage, rundirs, tmp_path):
    tracker = Trackio("unit_system")
    directory = rundirs.make_run(tmp_path / "run")
    tracker.begin(directory, name="r", params={}, tags={})
    warning = tracker.finish("FINISHED", timeout=10)
    assert "Trackio's project unit_system did not take all of" in warning
    assert pending(directory) and deliver(directory) is not None

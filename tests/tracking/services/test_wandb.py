"""Files of Weights & Biases in offline mode, read record by record; and a server that is dead."""

import json
import os
import shutil
import socket
import struct
import time

import pytest

from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.services.table import links_of, other_links
from rlhf.tracking.services.wandb import Wandb, WandbSink, login_fault, mode_of
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.state import read_own

wandb = pytest.importorskip("wandb", reason="pip install 'rlhf[wandb]'")
KEY = "eval/reward/proxy"
BLOCK = 32768


def records(path):
    """The protobuf records of a .wandb file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:  # the rest of a block that has no room for a header
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        if not kind:
            break
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def history(path):
    """Each row: what was logged at a step."""
    for record in records(path):
        if record.HasField("history"):
            yield {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", "/nowhere")


def tracker(tmp_path, mode="offline"):
    return Wandb("unit", str(tmp_path), mode=mode)


def follow(tmp_path, directory, *, status="FINISHED", **shown):
    following = tracker(tmp_path)
    said = {"name": "kl.coef=0.05", "params": {"kl.coef": 0.05}, "tags": {"stage": "ppo"}}
    following.begin(directory, **said | shown)
    following.notify()
    return following.finish(status, timeout=60)


def file_of(tmp_path):
    (path,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    return path


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def points(tmp_path):
    return [(row["_step"], row[KEY]) for row in history(file_of(tmp_path)) if KEY in row]


def test_a_finished_run_is_written_whole(rundirs, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["rlhf", "tracking.trackers.mlflow.uri=https://me:hf_abc@host"])
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    config = {"hub": {"token": "hf_abc"}}
    rundirs.write(directory / "config.yaml", config)
    rundirs.append(directory / "samples.jsonl", {"iteration": 3, "prompt": "a", "response": "b"})
    params = {"kl.coef": 0.05, "hub.token": "hf_abc", "sweep": None}
    assert follow(tmp_path, directory, params=params, tags={"stage": "ppo", "sweep": "s"}) is None
    assert not pending(directory)
    path = file_of(tmp_path)
    assert points(tmp_path) == [(i, float(i)) for i in range(4)]
    rows = [row for row in history(path) if KEY in row]
    assert [row["_timestamp"] for row in rows] == [1_700_000_000 + i for i in range(4)]
    (run,) = [record.run for record in records(path) if record.HasField("run")]
    assert (run.project, run.display_name, run.run_group, run.job_type) == (
        *("unit", "kl.coef=0.05", "s", "ppo"),
    )
    kept = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert (kept["kl.coef"], kept["hub.token"], kept["sweep"]) == (0.05, "***", None)
    summary = {
        item.key or "/".join(item.nested_key): item.value_json
        for record in records(path)
        for item in record.summary.update
    }
    assert summary["final/reward/proxy"] == "3.0" and summary["status"] == '"FINISHED"'
    files = {p.name for p in (path.parent / "files").iterdir()}
    assert {"run_config.yaml", "manifest.json", "summary.json"} <= files
    (table,) = (path.parent / "files" / "media" / "table").glob("samples*.json")
    assert json.loads(table.read_text())["data"] == [["a", "b", 3]]
    assert not [p for p in path.parent.rglob("*") if p.is_file() and b"hf_abc" in p.read_bytes()]
    (exit_record,) = [record.exit for record in records(path) if record.HasField("exit")]
    assert exit_record.exit_code == 0
    assert other_links(directory)["wandb"].startswith("wandb sync ")
    assert wandb.run is None  # the user's own, if there is one, is not touched


def test_killed_and_resumed_it_is_one_file_with_each_iteration_once(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(whole[:3]))
    shown = {"name": "kl.coef=0.05", "params": {}, "tags": {}}
    killed = Delivery(WandbSink(directory, tracker(tmp_path).opened(directory, **shown)))
    killed.advance()
    killed.release()
    until(lambda: points(tmp_path))  # by wandb's own process
    before = file_of(tmp_path)
    assert [step for step, _ in points(tmp_path)] == [0, 1, 2]
    metrics.write_text("".join(whole))
    assert follow(tmp_path, directory) is None
    assert not before.exists() or before == file_of(tmp_path)
    assert points(tmp_path) == [(i, float(i)) for i in range(4)]


def test_what_was_sent_stays_and_is_not_sent_twice(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(whole[:3]))
    assert follow(tmp_path, directory, status="KILLED") is None
    first = file_of(tmp_path)
    first.with_name(f"{first.name}.synced").touch()  # as `wandb sync` leaves it
    aside = first.parent.with_name(first.parent.name.replace("offline-run-2", "offline-run-1"))
    first.parent.rename(aside)  # of another second than the next
    metrics.write_text("".join(whole))
    assert follow(tmp_path, directory) is None
    shutil.move(aside, tmp_path / "sent")
    assert points(tmp_path) == [(3, 3.0)]


def test_after_a_kill_what_was_not_sent_is_written_again(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join(whole[:2]))
    assert follow(tmp_path, directory, status="KILLED") is None
    first = file_of(tmp_path)
    first.with_name(f"{first.name}.synced").touch()  # 0 and 1 are sent
    sent = first.parent.with_name(first.parent.name.replace("offline-run-2", "offline-run-1"))
    first.parent.rename(sent)
    metrics.write_text("".join(whole[:3]))
    shown = {"name": "kl.coef=0.05", "params": {}, "tags": {}}
    killed = Delivery(WandbSink(directory, tracker(tmp_path).opened(directory, **shown)))
    killed.advance()  # 2 is written, and nobody sends it
    killed.release()
    assert read_own(directory, WandbSink.file)["delivered"] == 2
    metrics.write_text("".join(whole))
    assert follow(tmp_path, directory) is None
    shutil.move(sent, tmp_path / "sent")
    assert points(tmp_path) == [(2, 2.0), (3, 3.0)]


def test_what_was_written_after_it_was_sent_is_not_sent(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    assert follow(tmp_path, directory, status="KILLED") is None
    file = file_of(tmp_path)
    mark = file.with_name(f"{file.name}.synced")
    mark.touch()
    os.utime(mark, (0, 0))  # `wandb sync` of a run that went on
    assert follow(tmp_path, directory) is None
    assert points(tmp_path) == [(i, float(i)) for i in range(4)]


def test_links_of_many_runs_are_one(rundirs, tmp_path):
    runs = [rundirs.make_run(tmp_path / name) for name in "ab"]
    for run in runs:
        follow(tmp_path, run)
    assert links_of(runs)["wandb"].endswith("wandb/offline-run-*")


def test_a_dead_server_stops_and_slows_nothing(rundirs, tmp_path, monkeypatch):
    from rlhf.tracking.services import wandb as ours

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setattr(ours, "PATIENCE", 2)
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    following = tracker(tmp_path, mode="online")
    start = time.monotonic()
    following.begin(directory, name="r", params={}, tags={})
    for _ in range(100):
        following.notify()
    assert time.monotonic() - start < 0.5
    thread, start = following._thread, time.monotonic()
    warning = following.finish("FINISHED", timeout=3.0)
    assert time.monotonic() - start < 15 and "did not take all of" in warning
    assert "k" * 40 not in warning and pending(directory)
    state = (directory / WandbSink.file).read_text()
    assert "k" * 40 not in state
    # the same command again, offline this time: nothing is lost
    thread.join(60)  # it lets go of the files
    assert follow(tmp_path, directory) is None
    assert points(tmp_path) == [(i, float(i)) for i in range(4)]
    assert read_own(directory, WandbSink.file)["closed"] == "FINISHED" and not pending(directory)
    assert deliver(directory) is None


def test_the_mode_is_asked_for_or_that_of_the_environment(monkeypatch):
    assert [mode_of(asked) for asked in (None, "online", "offline")] == [
        *("online", "online", "offline"),
    ]
    for value, mode in {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}.items():
        monkeypatch.setenv("WANDB_MODE", value)
        assert (mode_of(None), mode_of("online")) == (mode, "online")


def test_disabled_by_the_environment_writes_nothing(rundirs, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    directory = rundirs.make_run(tmp_path / "run")
    following = tracker(tmp_path, mode=None)
    following.begin(directory, name="r", params={}, tags={})
    following.notify()
    assert following.finish("FINISHED") is None
    assert not (tmp_path / "wandb").exists() and not (directory / WandbSink.file).exists()


def test_a_key_is_asked_for_before_a_run_begins(tmp_path, monkeypatch):
    assert "WANDB_API_KEY=" in login_fault("online") and login_fault("offline") is None
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert login_fault("online") is None
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert login_fault("online") is None

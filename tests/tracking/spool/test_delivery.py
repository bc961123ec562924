"""The end of a run waits for what moves, and for nothing else."""

import json
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.mlflow import MLflowSink, MLflowTracker, movement
from rlhf.tracking.spool import follower
from rlhf.tracking.spool.delivery import Delivery, batch
from rlhf.tracking.state import open_state
from rlhf.tracking.store import connect, prepare_store


def begun(rundirs, uri: str, directory: Path) -> MLflowTracker:
    tracker = MLflowTracker(uri, "unit")
    run = rundirs.make_run(directory)
    tracker.begin(run, name=directory.name, params={}, tags={"stage": "ppo"})
    return tracker


def test_the_end_waits_as_long_as_somebody_makes_the_store(rundirs, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(follower, "REPORT_EVERY", 0.5)
    path = tmp_path / "mlflow.db"
    made = threading.Event()

    def make() -> None:
        """As a slow computer would: something is written three times as long as is waited."""
        with FileLock(f"{path}.lock"):
            made.set()
            for _ in range(30):
                time.sleep(0.2)
                with path.with_name("mlflow.db.making-1").open("a") as file:
                    file.write("x")
            path.with_name("mlflow.db.making-1").unlink()

    maker = threading.Thread(target=make)
    maker.start()
    made.wait()
    tracker = begun(rundirs, f"sqlite:///{path}", tmp_path / "run")
    assert tracker.finish("FINISHED", timeout=2.0) is None
    maker.join()
    assert not pending(tmp_path / "run")
    assert f"waiting for MLflow at sqlite:///{path}: it has 0 of 4 iterations of" in caplog.text


def test_it_does_not_wait_for_a_holder_that_does_nothing(rundirs, tmp_path):
    path = tmp_path / "mlflow.db"
    with FileLock(f"{path}.lock"):
        tracker = begun(rundirs, f"sqlite:///{path}", tmp_path / "run")
        warning = tracker.finish("FINISHED", timeout=1.0)
    assert "nothing moved for 1 s" in warning and pending(tmp_path / "run")
    deadline = time.monotonic() + 120
    while deliver(tmp_path / "run") and time.monotonic() < deadline:  # the thread lets go
        time.sleep(0.1)
    assert not pending(tmp_path / "run")


def test_a_full_disk_is_not_waited_for(rundirs, tmp_path, small_disk, capfd):
    """Each try leaves a journal that comes and goes: nothing moves all the same."""
    prepare_store(f"sqlite:///{tmp_path}/mlflow.db", "unit")
    size = (tmp_path / "mlflow.db").stat().st_size
    disk = small_disk(str(size + (1 << 14)))
    shutil.copy(tmp_path / "mlflow.db", disk)
    tracker = begun(rundirs, f"sqlite:///{disk}/mlflow.db", tmp_path / "run")
    warning = tracker.finish("FINISHED", timeout=60.0)
    assert "disk is full" in warning and pending(tmp_path / "run")
    assert "Traceback" not in capfd.readouterr().err


def test_a_run_that_is_stopped_waits_by_the_clock(rundirs, tmp_path):
    path = tmp_path / "mlflow.db"
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.1):
            path.with_name("mlflow.db.making-1").write_text(str(time.time()))

    writer = threading.Thread(target=write)
    with FileLock(f"{path}.lock"):
        writer.start()
        tracker = begun(rundirs, f"sqlite:///{path}", tmp_path / "run")
        assert tracker.finish("KILLED", timeout=1.0) is not None
        stop.set()
        writer.join()


def test_what_moves_is_the_store_and_what_is_made_beside_it(tmp_path):
    path = tmp_path / "mlflow.db"
    assert movement(path) == movement(tmp_path / "nowhere" / "mlflow.db") == []
    (tmp_path / "mlflow.db.lock").write_text("x")
    (tmp_path / "other.db").write_text("x")
    assert movement(path) == []
    (tmp_path / "mlflow.db.making-1").write_text("x")
    before = movement(path)
    (tmp_path / "mlflow.db.making-1").write_text("xx")
    assert [size for _, size, _ in before] == [1] and movement(path) != before


def tracked(uri: str, directory: Path) -> None:
    """A command that tracks a run: its exit code is 1 with what was not delivered."""
    tracker = MLflowTracker(uri, "cold")
    tracker.begin(directory, name=directory.name, params={"kl.coef": 0.1}, tags={"stage": "ppo"})
    sys.exit(tracker.finish("FINISHED") or 0)


@pytest.mark.slow
def test_eight_commands_on_a_cold_store_lose_nothing(rundirs, tmp_path, commands):
    """Each waits for the others as long as they move."""
    uri = f"sqlite:///{tmp_path / 'deep' / 'mlflow.db'}"
    runs = [rundirs.make_run(tmp_path / f"run{i}") for i in range(8)]
    jobs = [commands.context.Process(target=tracked, args=(uri, run)) for run in runs]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(600)
    assert [job.exitcode for job in jobs] == [0] * 8
    client = connect(uri)
    delivered = client.search_runs([prepare_store(uri, "cold")])
    assert sorted(run.info.run_name for run in delivered) == [run.name for run in runs]
    assert {run.info.status for run in delivered} == {"FINISHED"}
    for run in delivered:
        steps = [row.step for row in client.get_metric_history(run.info.run_id, "iteration")]
        assert steps == [0, 1, 2, 3]


def test_iterations_that_wait_arrive_in_one_batch_or_in_none(
    store, client, rundirs, tmp_path, monkeypatch
):
    """Four iterations with room for two in a batch. One that is told to have failed is asked for
    before it is sent again: each iteration arrives once."""
    directory = rundirs.make_run(tmp_path / "run", iterations=3)
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    monkeypatch.setattr(MLflowSink, "largest", len(batch(rows[0])) + len(batch(rows[1])))
    sent, whole = [], MlflowClient.log_batch

    def log_batch(self, run_id, metrics=(), **named):
        whole(self, run_id, metrics=metrics, **named)
        if steps := [m.step for m in metrics if m.key == "iteration"]:
            sent.append(steps)
            if len(sent) == 1:
                raise ConnectionError("the answer is lost")

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    state = open_state(directory, uri=store, experiment="unit", name="x", params={}, tags={})
    following = Delivery(MLflowSink(directory, state))
    with pytest.raises(ConnectionError):
        following.advance()
    following.advance()
    following.release()
    assert sent == [[0, 1], [2, 3]]
    arrived = client.get_metric_history(following.state["run_id"], "iteration")
    assert sorted(point.step for point in arrived) == [0, 1, 2, 3]
    assert following.state["delivered"] == 3

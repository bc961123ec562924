import json
import math
import shutil
import socket
import subprocess
import sys
import time

import pytest

from rlhf.tracking.addresses import database
from rlhf.tracking.base import Dataset, NoTracker
from rlhf.tracking.database import column
from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.links import compare_link, directory_links
from rlhf.tracking.mlflow import MLflowSink, MLflowTracker
from rlhf.tracking.spool.delivery import Delivery, batch
from rlhf.tracking.state import open_state, read_state, write_state


def history(client, directory, key):
    """Every row of a metric: (step, value, timestamp)."""
    return [
        (m.step, m.value, m.timestamp)
        for m in client.get_metric_history(read_state(directory)["run_id"], key)
    ]


def run_of(client, directory):
    return client.get_run(read_state(directory)["run_id"])


def follow(store, directory, *, status="FINISHED", params=None, tags=None):
    tracker = MLflowTracker(store, "unit")
    tracker.begin(
        directory,
        name=directory.name,
        params=params or {"kl.coef": 0.05},
        tags=tags or {"stage": "ppo"},
    )
    tracker.notify()
    return tracker, tracker.finish(status, timeout=60)


def test_a_finished_run_arrives_whole(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "kl.coef=0.05", proxy=3.0, iterations=3)
    rundirs.append(
        directory / "samples.jsonl",
        {"iteration": 0, "prompt": "a", "response": "b", "reward/proxy": 1.0},
        {"iteration": 3, "prompt": "a", "response": "c", "ended": True},
    )
    rundirs.write(directory / "data_report.json", {"data": "reviews"})
    tags = {"stage": "ppo", "sweep": "s", "study": "unit", "kl.controller": "fixed"}
    tracker, warning = follow(
        store,
        directory,
        tags=tags,
        params={"kl.coef": 0.05, "seed": 0, "rerun": False, "sweep": None},
    )

    assert warning is None
    assert not pending(directory)
    run = run_of(client, directory)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "kl.coef=0.05")
    assert run.data.params == {"kl.coef": "0.05", "seed": "0", "rerun": "false", "sweep": "null"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    stamps = [(i, float(i), (1_700_000_000 + i) * 1000) for i in range(4)]
    # a straight line from 0 to 3, at the times of timings.jsonl
    assert history(client, directory, "eval/reward/proxy") == stamps
    assert history(client, directory, "final/reward/proxy") == [(3, 3.0, 1_700_000_003_000)]
    assert "final/reward/proxy_se" not in run.data.metrics
    assert next(iter(run.data.metrics)) == "eval/reward/gold"  # what the compare page opens on
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert files == {
        *("config.yaml", "manifest.json", "summary.json", "samples.json"),
        "data_report.json",
    }
    table = json.loads(_text(client, run, "samples.json"))
    assert table["columns"] == ["prompt", "response", "iteration", "ended", "reward/proxy"]
    assert table["data"] == [["a", "c", 3, True, None], ["a", "b", 0, None, 1.0]]
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"]) == [
        {"path": "samples.json", "type": "table"}
    ]
    assert directory_links(directory)["run"].endswith(
        f"runs/{run.info.run_id}?workflowType=machine_learning"
    )


def _text(client, run, name):
    from pathlib import Path
    from urllib.parse import unquote, urlparse

    return (Path(unquote(urlparse(run.info.artifact_uri).path)) / name).read_text()


def test_the_data_are_inputs_of_the_run_once(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    prompts = Dataset(
        name="reviews prompts",
        digest="ab" * 32,
        rows=72,
        source={"_target_": "my.Data", "seed": 3, "hub_token": "hf_abc"},
    )
    for _ in range(2):  # the second is a resume
        tracker = MLflowTracker(store, "unit")
        tracker.begin(directory, name="run", params={}, tags={"stage": "ppo"}, datasets=[prompts])
        assert tracker.finish("FINISHED", timeout=60) is None
    (put,) = run_of(client, directory).inputs.dataset_inputs
    assert (put.dataset.name, put.dataset.digest) == ("reviews prompts", "ab" * 8)
    assert json.loads(put.dataset.source) == {"_target_": "my.Data", "seed": 3, "hub_token": "***"}
    assert json.loads(put.dataset.profile) == {"num_rows": 72}
    assert {tag.key: tag.value for tag in put.tags} == {"mlflow.data.context": "training"}


def test_secrets_stay_here(store, client, rundirs, tmp_path):
    config = {
        "hub": {"token": "hf_abc", "url": "https://me:pw@host/x"},
        "tokenizer": {"pad_token": "<pad>", "max_token": 9},
    }
    directory = rundirs.make_run(tmp_path / "run", config=config)
    _, warning = follow(
        store, directory, params={"hub.token": "hf_abc", "tokenizer.pad_token": "<pad>"}
    )
    assert warning is None
    run = run_of(client, directory)
    assert run.data.params == {"hub.token": "***", "tokenizer.pad_token": "<pad>"}
    text = _text(client, run, "config.yaml")
    assert "hf_abc" not in text
    assert "me:pw" not in text
    assert "max_token: 9" in text
    assert "<pad>" in text
    assert "hf_abc" not in (directory / "tracking.json").read_text()


def test_cut_back_and_grown_again_is_delivered_once(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0, iterations=3)
    _, warning = follow(store, directory, status="KILLED")
    assert warning is None
    assert run_of(client, directory).info.status == "KILLED"
    metrics = directory / "metrics.jsonl"
    whole = metrics.read_text().splitlines(keepends=True)

    metrics.write_text("".join(whole[:2]))  # the resume goes back to the checkpoint of iteration 1
    tracker = MLflowTracker(store, "unit")
    tracker.begin(directory, name="run", params={"kl.coef": 0.2, "new": 1}, tags={"stage": "ppo"})
    with metrics.open("a") as file:
        for text in whole[2:]:
            file.write(text)
            file.flush()
            tracker.notify()
    _wait(lambda: run_of(client, directory).info.status == "RUNNING")
    rundirs.append(metrics, rundirs.line(4, eval__reward__proxy=4.0))
    tracker.notify()
    assert tracker.finish("FINISHED", timeout=60) is None

    assert [
        (step, value) for step, value, _ in history(client, directory, "eval/reward/proxy")
    ] == [(i, float(i)) for i in range(5)]
    run = run_of(client, directory)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"kl.coef": "0.05", "new": "1"}
    assert run.data.tags["resume.1.kl.coef"] == "0.2"


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_crash_between_sending_and_noting_sends_nothing_twice(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0, iterations=3)
    # without original times MLflow itself could not recognise a repetition
    (directory / "timings.jsonl").unlink()
    state = open_state(directory, uri=store, experiment="unit", name="run", params={}, tags={})
    first = Delivery(MLflowSink(directory, state))
    first.advance()
    first.release()
    state = read_state(directory)
    (directory / "tracking.json").write_text(json.dumps(state | {"delivered": 1}))
    _, warning = follow(store, directory)
    assert warning is None
    assert [step for step, _, _ in history(client, directory, "eval/reward/proxy")] == [0, 1, 2, 3]


def test_a_crash_between_creating_and_noting_makes_no_second_run(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    _, warning = follow(store, directory)
    assert warning is None
    state = read_state(directory)
    (directory / "tracking.json").write_text(json.dumps(state | {"run_id": None, "delivered": -1}))
    _, warning = follow(store, directory)
    assert warning is None
    assert read_state(directory)["run_id"] == state["run_id"]
    assert [step for step, _, _ in history(client, directory, "iteration")] == [0, 1, 2, 3]
    assert len(history(client, directory, "final/objective")) == 1


def test_a_damaged_state_finds_its_run_by_the_directory(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    follow(store, directory)
    run_id = read_state(directory)["run_id"]
    (directory / "tracking.json").write_text('{"key": "8f')
    _, warning = follow(store, directory)
    assert warning is None and read_state(directory)["run_id"] == run_id
    assert [step for step, _, _ in history(client, directory, "iteration")] == [0, 1, 2, 3]
    (directory / "tracking.json").unlink()  # begun anew
    follow(store, directory)
    assert read_state(directory)["run_id"] != run_id


def test_a_store_from_a_backup_has_the_run_under_its_earlier_number(
    store, client, rundirs, tmp_path
):
    """Emptied, it was delivered anew; then the old file came back."""
    directory = rundirs.make_run(tmp_path / "run")
    follow(store, directory)
    state = read_state(directory)
    write_state(directory, {**state, "run_id": "f" * 32})
    _, warning = follow(store, directory)
    assert warning is None and read_state(directory)["run_id"] == state["run_id"]
    assert [step for step, _, _ in history(client, directory, "iteration")] == [0, 1, 2, 3]


def test_a_state_with_a_flipped_bit_finds_its_run_by_the_directory(store, rundirs, tmp_path):
    """It is whole JSON, and would say that nothing of the run is known."""
    directory = rundirs.make_run(tmp_path / "run")
    follow(store, directory)
    path, run_id = directory / "tracking.json", read_state(directory)["run_id"]
    path.write_text(path.read_text().replace('"run_id"', '"run_ie"'))
    _, warning = follow(store, directory)
    assert warning is None and read_state(directory)["run_id"] == run_id


def test_a_run_deleted_in_mlflow_is_made_again(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    follow(store, directory)
    old = read_state(directory)["run_id"]
    client.delete_run(old)
    _, warning = follow(store, directory)
    assert warning is None
    assert read_state(directory)["run_id"] != old
    assert len(history(client, directory, "iteration")) == 4


@pytest.mark.slow
def test_a_store_that_was_emptied_gets_its_runs_again(store, rundirs, tmp_path):
    path = tmp_path / "mlflow.db"
    shutil.copy(database(store), path)
    run = rundirs.make_run(tmp_path / "run")
    tracker = MLflowTracker(f"sqlite:///{path}", "unit")
    tracker.begin(run, name="run", params={}, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED", timeout=60) is None
    before = read_state(run)["run_id"]
    ids = "select run_uuid from runs"
    assert not pending(run) and before in column(path, ids)
    path.write_bytes(b"")
    assert pending(run)
    deliver = "import pathlib, sys; from rlhf.tracking.ended.deliver import deliver"
    again = f"{deliver}; deliver(pathlib.Path(sys.argv[1]))"
    ended = subprocess.run([sys.executable, "-c", again, run], capture_output=True, text=True)
    assert f"has lost {run}, which is delivered again" in ended.stderr
    (after,) = column(path, ids)
    rows = "select step from metrics where run_uuid = ? and key = 'iteration' order by step"
    assert after != before and column(path, rows, after) == ["0", "1", "2", "3"]
    assert not pending(run)


def test_infinities_are_counted_and_nan_is_kept(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", iterations=1)
    rundirs.append(
        directory / "metrics.jsonl", rundirs.line(2, a="inf", b="-inf", c="nan", d=1.0, text="x")
    )
    follow(store, directory)
    metrics = run_of(client, directory).data.metrics
    assert metrics["nonfinite"] == 2.0
    assert math.isnan(metrics["c"])
    assert not {"a", "b", "text"} & metrics.keys()


def test_batch_by_hand():
    line = {"iteration": 1, "kl/x[0]": 2, "bad": "inf", "on": True, "none": None}
    assert batch(line) == {"iteration": 1.0, "kl/x_0_": 2.0, "on": 1.0, "nonfinite": 1.0}


@pytest.fixture
def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_a_dead_server_blocks_nothing_and_the_rest_comes_later(
    store, client, closed_port, rundirs, tmp_path
):
    directory = rundirs.make_run(tmp_path / "run")
    tracker = MLflowTracker(f"http://me:pw@127.0.0.1:{closed_port}", "unit")
    start = time.monotonic()
    tracker.begin(directory, name="run", params={"kl.coef": 0.05}, tags={"stage": "ppo"})
    for _ in range(100):
        tracker.notify()
    assert time.monotonic() - start < 0.5
    start = time.monotonic()
    (directory / "status.json").unlink()  # a stage has none
    warning = tracker.finish("FINISHED", timeout=1.0)
    assert time.monotonic() - start < 2.0
    assert "did not take all of" in warning
    assert "me:pw" not in warning
    assert "pw" not in str(directory_links(directory))
    assert pending(directory)

    # the server is back: here at another address, which only the state names
    _wait(lambda: not tracker._thread or not tracker._thread.is_alive())
    (directory / "tracking.json").write_text(json.dumps(read_state(directory) | {"uri": store}))
    _wait(lambda: deliver(directory) is None)
    run = run_of(client, directory)
    assert run.info.status == "FINISHED"
    assert len(history(client, directory, "iteration")) == 4


def test_deliver_leaves_a_live_run_alone_and_marks_a_dead_one(store, client, rundirs, tmp_path):
    import os

    directory = rundirs.make_run(tmp_path / "run", state="running")
    state = open_state(directory, uri=store, experiment="unit", name="run", params={}, tags={})
    status = json.loads((directory / "status.json").read_text())
    rundirs.write(directory / "status.json", status | {"pid": os.getpid(), "time": time.time()})
    assert "still running" in deliver(directory)
    rundirs.write(directory / "status.json", status)
    assert deliver(directory) is None
    assert state["run_id"] is None  # the file is the state, not this copy
    run = run_of(client, directory)
    assert (run.info.status, run.info.end_time) == ("KILLED", 1_700_000_099_000)
    assert deliver(directory) is None


def test_a_job_that_a_signal_killed_is_marked_killed(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", state="failed")
    open_state(directory, uri=store, experiment="unit", name="run", params={}, tags={})
    status = json.loads((directory / "status.json").read_text())
    # as the sweep notes it
    rundirs.write(
        directory / "status.json", status | {"error": "failed (SIGKILL)", "exit_code": -9}
    )
    assert deliver(directory) is None
    assert (
        run_of(client, directory).info.status,
        run_of(client, directory).data.tags["error"],
    ) == ("KILLED", "failed (SIGKILL)")


def test_a_failed_run_says_why(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", state="failed")
    follow(store, directory, status="FAILED")
    run = run_of(client, directory)
    assert (run.info.status, run.data.tags["error"]) == (
        "FAILED",
        "ValueError: the reward became nan",
    )


@pytest.mark.parametrize(
    ("uri", "say"),
    [
        ("file:mlruns", "sqlite:///mlruns/mlflow.db"),
        ("./mlruns", "sqlite:///"),
        ("sqlite:///:memory:", "memory"),
    ],
)
def test_addresses_that_cannot_work_are_refused(uri, say):
    with pytest.raises(ValueError, match=say):
        MLflowTracker(uri, "unit")


def test_one_run_at_a_time(store, rundirs, tmp_path):
    tracker = MLflowTracker(store, "unit")
    tracker.begin(rundirs.make_run(tmp_path / "a"), name="a", params={}, tags={})
    with pytest.raises(RuntimeError, match="finish the run"):
        tracker.begin(tmp_path / "b", name="b", params={}, tags={})
    assert tracker.finish("FINISHED", timeout=60) is None
    assert tracker.finish("FINISHED") is None
    tracker.begin(rundirs.make_run(tmp_path / "b"), name="b", params={}, tags={})
    assert tracker.finish("FINISHED", timeout=60) is None


def test_no_tracker_does_nothing(tmp_path):
    tracker = NoTracker()
    tracker.begin(tmp_path, name="x", params={}, tags={})
    tracker.notify()
    assert tracker.finish("FINISHED") is None
    assert directory_links(tmp_path) == {}
    assert not list(tmp_path.iterdir())


def test_importing_the_package_imports_no_mlflow():
    code = """
import sys, rlhf.tracking.mlflow, rlhf.tracking.summary, rlhf.tracking.views, rlhf.compare
heavy = ("mlflow", "torch", "pandas", "matplotlib", "altair", "vl_convert", "scipy", "numpy")
print([name for name in heavy if name in sys.modules])
"""
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_compare_link_names_runs_and_experiments():
    assert (
        compare_link("https://u:p@host/", ["1"], ["a", "b"])
        == "https://***@host/#/compare-runs?runs=%5B%22a%22%2C%22b%22%5D&experiments=%5B%221%22%5D&workflowType=machine_learning"
    )

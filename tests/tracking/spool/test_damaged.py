"""A finished run whose state was damaged before a service had all of it."""

import socket

import pytest

from rlhf.rundir.status import write_status
from rlhf.tracking.ended.deliver import deliver, mend_states, pending
from rlhf.tracking.mlflow import MLflowSink, MLflowTracker
from rlhf.tracking.services.tensorboard import TensorBoard
from rlhf.tracking.spool import follower
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.state import open_state, read_own, read_state


def steps(client, directory):
    history = client.get_metric_history(read_own(directory)["run_id"], "iteration")
    return sorted(point.step for point in history)


def runs_of(client, directory):
    (experiment,) = client.search_experiments(filter_string="name = 'unit'")
    found = client.search_runs([experiment.experiment_id])
    return [run for run in found if run.data.tags.get("rlhf.directory") == str(directory)]


@pytest.fixture
def half(store, rundirs, tmp_path):
    """A finished run of which MLflow has the first two iterations."""
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0, iterations=1)
    state = open_state(
        directory, uri=store, experiment="unit", name="r", params={"a": 1}, tags={"stage": "ppo"}
    )
    first = Delivery(MLflowSink(directory, state))
    first.advance()
    first.abandon("FINISHED")
    first.release()
    rundirs.append(directory / "metrics.jsonl", *({"iteration": i, "loss": 1.0} for i in (2, 3)))
    return directory


@pytest.mark.parametrize("damaged", [b"", b'{"key": "8f', b'{"key": "8f", "sha256": "0"}'])
def test_all_of_it_arrives_once_and_in_the_same_run(half, client, damaged, caplog):
    run_id = read_state(half)["run_id"]
    (half / "tracking.json").write_bytes(damaged)
    assert pending(half)
    assert deliver(half) is None
    assert not pending(half) and read_own(half)["run_id"] == run_id
    assert steps(client, half) == [0, 1, 2, 3]
    (run,) = runs_of(client, half)
    assert (run.info.status, run.data.params) == ("FINISHED", {"a": "1"})
    assert (half / "tracking.json.damaged").read_bytes() == damaged
    assert sum("tracking.json" in line for line in caplog.messages) == 1
    assert deliver(half) is None and steps(client, half) == [0, 1, 2, 3]


def test_one_that_no_service_had_begun_is_delivered_with_its_settings(
    store, client, rundirs, tmp_path, monkeypatch
):
    """No server was there, and the same address has one later."""
    monkeypatch.setattr(follower, "POLL", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    write_status(directory, state="finished", exit_code=0)
    tracker = MLflowTracker(dead, "unit")
    tracker.begin(directory, name="r", params={"kl.coef": 0.1}, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED", timeout=1) is not None
    (directory / "tracking.json").write_bytes(b"\0" * 100)
    mend_states([directory])
    state = read_own(directory)
    assert (state["uri"], state["params"]) == (dead, {"kl.coef": "0.1"}) and pending(directory)


def test_what_has_arrived_is_not_sent_again(store, client, rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    tracker = MLflowTracker(store, "unit")
    tracker.begin(directory, name="r", params={}, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED", timeout=60) is None
    before = (directory / "tracking.json").read_bytes()
    (directory / "tracking.json").write_bytes(before[:99])
    assert not pending(directory) and deliver(directory) is None
    assert (directory / "tracking.json").read_bytes() == before
    assert len(runs_of(client, directory)) == 1


def test_another_service_has_it_in_the_folder_that_it_began(rundirs, tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'rlhf[tensorboard]'")
    from tests.tracking.services.test_tensorboard import folder_of, points

    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    write_status(directory, state="finished", exit_code=0)
    tracker = TensorBoard(str(tmp_path / "tb"))
    tracker.begin(directory, name="r", params={}, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED") is None
    folder = folder_of(tmp_path / "tb", directory)
    rundirs.append(directory / "metrics.jsonl", {"iteration": 4, "eval/reward/proxy": 4.0})
    state = directory / "tracking.tensorboard.json"
    begun = tracker.opened(directory, name="r", params={}, tags={"stage": "ppo"})
    assert begun["folder"] == read_own(directory, state.name)["folder"]
    state.write_text("[]")
    assert pending(directory) and deliver(directory) is None and not pending(directory)
    assert [i for i, _ in points(folder)] == [0, 1, 2, 3, 4]
    assert len([*(tmp_path / "tb").glob("*/*")]) == 1

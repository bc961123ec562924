"""Several trackers beside each several."""

import socket
import time
from pathlib import Path
from typing import ClassVar

import pytest

from rlhf.tracking.base import NoTracker
from rlhf.tracking.ended import deliver as ended
from rlhf.tracking.ended.deliver import deliver, pending
from rlhf.tracking.mlflow import MLflowSink, MLflowTracker
from rlhf.tracking.services.several import Several
from rlhf.tracking.services.tensorboard import TensorBoard, TensorBoardSink
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.spool.follower import Follower
from rlhf.tracking.spool.late import owes
from rlhf.tracking.spool.opened import open_state
from rlhf.tracking.spool.sink import Sink
from rlhf.tracking.state import read_own, read_state, write_state


def test_none_is_refused():
    with pytest.raises(ValueError, match="no tracker is named"):
        Several({})


def follow(directory, trackers, **finish):
    several = Several(trackers)
    several.begin(directory, name="r", params={"kl.coef": 0.1}, tags={"stage": "ppo"})
    several.notify()
    return several.finish("FINISHED", **finish)


@pytest.fixture
def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_two_at_once_have_all_of_a_run(store, client, rundirs, tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'rlhf[tensorboard]'")
    from tests.tracking.services.test_tensorboard import folder_of, points

    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    trackers = {"a": MLflowTracker(store, "unit"), "b": TensorBoard(str(tmp_path / "tb"))}
    assert follow(directory, trackers, timeout=60) is None
    assert not pending(directory)
    steps = client.get_metric_history(read_state(directory)["run_id"], "iteration")
    assert [point.step for point in steps] == [0, 1, 2, 3]
    assert points(folder_of(tmp_path / "tb", directory)) == [(i, float(i)) for i in range(4)]


def test_a_dead_one_holds_no_other_back(store, client, closed_port, rundirs, tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'rlhf[tensorboard]'")
    directory = rundirs.make_run(tmp_path / "run", proxy=3.0)
    dead = MLflowTracker(f"http://127.0.0.1:{closed_port}", "unit")
    start = time.monotonic()
    warning = follow(directory, {"a": dead, "b": TensorBoard(str(tmp_path / "tb"))}, timeout=5.0)
    assert time.monotonic() - start < 30
    assert warning.startswith(f"MLflow at http://127.0.0.1:{closed_port} did not take all of")
    assert "TensorBoard" not in warning
    assert not owes(directory, TensorBoardSink) and pending(directory)
    # it is back: here at another address, which only the state names
    write_state(directory, {**read_state(directory), "uri": store})
    deadline = time.monotonic() + 60
    while deliver(directory) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not pending(directory)
    steps = client.get_metric_history(read_state(directory)["run_id"], "iteration")
    assert [point.step for point in steps] == [0, 1, 2, 3]


class Broken(NoTracker):
    def finish(self, status, *, timeout=20.0):
        raise OSError("no more of it")


def test_one_that_fails_at_the_end_ends_no_other(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    trackers = {"mine": Broken(), "slow": SlowTracker(tmp_path / "a")}
    assert follow(directory, trackers) == "The tracker mine failed at the run's end: no more of it"
    assert read_own(directory, Slow.file)["closed"] == "FINISHED"


class Slow(Sink):
    """A service that takes its time, in a file: one line for each batch."""

    service, file = "Slow", "tracking.slow.json"

    def open(self, *, resume):
        return {"delivered": -1}

    def send(self, rows):
        time.sleep(0.3)
        with Path(self.state["settings"]["path"]).open("a") as file:
            file.write(f"{[row.number for row in rows]}\n")

    def end(self, status, **when): ...


class SlowTracker(Follower):
    sink = Slow

    def __init__(self, path):
        super().__init__()
        self.path = str(path)

    def opened(self, directory, **shown):
        settings = {"path": self.path}
        return open_state(directory, Slow.file, settings=settings, decides=("path",), **shown)


def test_a_service_is_one_small_class_and_is_never_waited_for(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    several = Several({"mine": SlowTracker(tmp_path / "a"), "none": NoTracker()})
    start = time.monotonic()
    several.begin(directory, name="r", params={"token": "secret"}, tags={})
    for _ in range(100):
        several.notify()
    assert time.monotonic() - start < 0.2
    assert several.finish("FINISHED") is None
    assert (tmp_path / "a").read_text() == "[0, 1, 2, 3]\n"
    assert read_own(directory, Slow.file)["params"] == {"token": "***"}


class Silent(Slow):
    """It takes no run, and counts how often it is asked."""

    asked: ClassVar[list[Path]] = []

    def open(self, *, resume):
        self.asked.append(self.directory)
        raise TimeoutError("no answer")


def test_a_silent_service_is_waited_for_once_for_many_runs(rundirs, tmp_path, monkeypatch):
    runs = [rundirs.make_run(tmp_path / name) for name in "abc"]
    for run in runs:
        SlowTracker(tmp_path / "to").opened(run, name="r", params={}, tags={})
    monkeypatch.setattr(ended, "SINKS", (MLflowSink, Silent))
    assert ended.deliver_beside_mlflow(runs) == [f"Slow did not take all of {runs[0]} (no answer)."]
    assert Silent.asked == runs[:1]


class Late(Slow):
    """A service that fails after it has made the run."""

    held: ClassVar[int] = 0

    def open(self, *, resume):
        type(self).held += 1
        raise OSError("half open")

    def drop(self):
        type(self).held = 0


def test_what_is_half_open_is_let_go(rundirs, tmp_path):
    directory = rundirs.make_run(tmp_path / "run")
    state = SlowTracker(tmp_path / "a").opened(directory, name="r", params={}, tags={})
    delivery = Delivery(Late(directory, state))
    with pytest.raises(OSError, match="half open"):
        delivery.advance()
    assert Late.held == 0
    delivery.release()

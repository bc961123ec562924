"""A run that has ended is delivered by the thread beside the training, which alone writes of it."""

import json
import shutil
import threading

import pytest

from rlhf.tracking.ended import queue
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.spool import follower
from rlhf.tracking.state import read_state


class Slow:
    """A delivery that goes on when it is let, and does what `deliver_late` does."""

    def __init__(self, deliver):
        self.begun, self.let, self.deliver = threading.Event(), threading.Event(), deliver

    def __call__(self, directory, kind):
        self.begun.set()
        assert self.let.wait(60)
        return self.deliver(directory, kind=kind)


@pytest.fixture
def slow(monkeypatch) -> Slow:
    made = Slow(follower.deliver_late)
    monkeypatch.setattr(follower, "deliver_late", made)
    return made


def shown(directory):
    return {"name": directory.name, "params": {}, "tags": {"stage": "ppo"}}


def ended(tracker):
    """When the queue is empty."""
    thread = tracker._ended._thread
    if thread is not None:
        thread.join(60)
    assert tracker._ended._thread is None


def test_one_that_is_under_way_is_not_begun_again(rundirs, store, client, tmp_path, slow):
    run, tracker = rundirs.make_run(tmp_path / "run"), MLflowTracker(store, "unit")
    tracker.add(run, **shown(run))
    assert slow.begun.wait(60)
    before = (run / "tracking.json").read_bytes()
    tracker.add(run, **shown(run))
    assert (run / "tracking.json").read_bytes() == before
    slow.let.set()
    ended(tracker)
    state = read_state(run)
    assert (state["starts"], state["closed"]) == (1, "FINISHED")
    tracker.add(run, **shown(run))  # delivered: nothing comes of it
    assert read_state(run) == state
    assert client.get_run(state["run_id"]).info.status == "FINISHED"


def test_one_made_anew_while_it_waits_is_delivered(rundirs, store, client, tmp_path, slow):
    """A damaged point of a path is set aside, and written again."""
    first, run = (rundirs.make_run(tmp_path / name) for name in ("first", "run"))
    tracker = MLflowTracker(store, "unit")
    for each in (first, run):
        tracker.add(each, **shown(each))
    assert slow.begun.wait(60)
    shutil.rmtree(run)
    tracker.add(rundirs.make_run(run), **shown(run))
    slow.let.set()
    ended(tracker)
    assert [read_state(each)["closed"] for each in (first, run)] == ["FINISHED"] * 2
    assert client.get_run(json.loads((run / "tracking.json").read_text())["run_id"])


def test_one_that_is_late_keeps_the_others_waiting_for_the_next(tmp_path):
    tried, late = [], {"a"}

    def deliver(directory):
        tried.append(directory.name)
        return f"{directory.name} is late" if directory.name in late else None

    def add(name):
        waiting.add(tmp_path / name)
        if (thread := waiting._thread) is not None:
            thread.join(60)

    waiting = queue.Ended(deliver)
    add("a")
    late.clear()
    assert waiting.has(tmp_path / "a") and not waiting.has(tmp_path / "b")
    add("b")
    assert tried == ["a", "a", "b"] and not waiting.has(tmp_path / "a")
    waiting.close(1)
    add("c")
    assert tried == ["a", "a", "b"]

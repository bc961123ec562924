import json
from pathlib import Path

import pytest

from rlhf.tracking.ended.deliver import deliver, deliver_all, pending
from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import open_state, read_state
from rlhf.tracking.summary import log_sweep_summary

PARENT = "mlflow.parentRunId"


@pytest.fixture
def sweep(tmp_path) -> Path:
    place = tmp_path / "grid"
    place.mkdir()
    (place / "sweep.json").write_text(json.dumps({"name": "grid", "jobs": []}))
    return place


def start(store, directory, *, nested=True, **tags):
    tracker = MLflowTracker(store, "unit", nested=nested)
    tracker.begin(directory, name=directory.name, params={}, tags={"stage": "ppo", **tags})
    return tracker


def parent(client, directory):
    return client.get_run(read_state(directory)["run_id"]).data.tags.get(PARENT)


def summaries(client, name):
    experiment = client.get_experiment_by_name("unit").experiment_id
    return [
        run.info.run_id
        for run in client.search_runs(
            [experiment], f"tags.sweep = '{name}' and tags.stage = 'sweep'"
        )
    ]


def summarise(store, sweep):
    return log_sweep_summary(
        store, "unit", sweep=sweep.name, directory=sweep, metrics={}, note_markdown="# Q", files=[]
    )


def test_jobs_that_begin_at_once_share_the_summary_run(store, client, rundirs, sweep):
    jobs = [rundirs.make_run(sweep / f"job{i}") for i in range(6)]
    trackers = [start(store, job, sweep="grid") for job in jobs]
    assert [tracker.finish("FINISHED", timeout=120) for tracker in trackers] == [None] * 6
    (summary,) = summaries(client, "grid")
    assert {parent(client, job) for job in jobs} == {summary}
    assert summarise(store, sweep) == summary


def test_the_parent_command_may_be_first_and_a_resume_keeps_it(store, client, rundirs, sweep):
    sweep = sweep.rename(sweep.with_name("later"))
    summary = summarise(store, sweep)
    job = rundirs.make_run(sweep / "job", state="running")
    assert start(store, job, sweep="later").finish("KILLED", timeout=60) is None
    assert parent(client, job) == summary
    assert start(store, job, sweep="later").finish("FINISHED", timeout=60) is None
    assert (parent(client, job), summaries(client, "later")) == (summary, [summary])

    client.delete_run(summary)  # by hand, in MLflow's pages
    assert start(store, job, sweep="later").finish("FINISHED", timeout=60) is None
    assert [parent(client, job)] == summaries(client, "later") != [summary]


def test_what_is_delivered_late_is_nested_too(store, client, rundirs, sweep):
    sweep = sweep.rename(sweep.with_name("late"))
    job = rundirs.make_run(sweep / "job")
    open_state(
        job,
        uri=store,
        experiment="unit",
        name="job",
        params={},
        tags={"stage": "ppo", "sweep": "late"},
        nested=True,
    )
    assert deliver(job) is None
    assert [parent(client, job)] == summaries(client, "late")


def test_a_paths_point_comes_after_the_paths_run(store, client, rundirs, tmp_path):
    """Whichever thread is the quicker, and where no server was there while the path was made."""
    path = rundirs.make_run(tmp_path / "path")
    point = rundirs.make_run(path / "points" / "first")
    here = {"run": "path", "point": 0, "points": 2}
    summary = json.loads((point / "summary.json").read_text())
    (point / "summary.json").write_text(json.dumps({**summary, "name": "first", "path": here}))
    for place in (path, point):
        open_state(
            place,
            uri=store,
            experiment="unit",
            name=place.name,
            params={},
            tags={"stage": "ppo"},
            nested=True,
        )
    assert f"{path} comes first" in deliver(point) and pending(point)
    assert deliver_all(path) is None and not pending(point)
    assert parent(client, point) == read_state(path)["run_id"]


def test_only_jobs_of_a_sweep_are_nested(store, client, rundirs, sweep, tmp_path):
    sweep = sweep.rename(sweep.with_name("flat"))
    flat = rundirs.make_run(sweep / "flat")
    stage = rundirs.make_run(sweep / "stage")  # has no sweep: others share it
    single = rundirs.make_run(tmp_path / "single")  # rlhf sweep=flat, which runs no sweep
    ends = [
        start(store, flat, nested=False, sweep="flat"),
        start(store, stage, sft="abc"),
        start(store, single, sweep="flat"),
    ]
    assert [tracker.finish("FINISHED", timeout=60) for tracker in ends] == [None] * 3
    assert [parent(client, place) for place in (flat, stage, single)] == [None] * 3
    assert summaries(client, "flat") == []

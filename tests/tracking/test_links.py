import json

import pytest

from rlhf.tracking.ended.deliver import deliver
from rlhf.tracking.links import directory_links, newest_place, tracked_place, ui_command
from rlhf.tracking.state import open_state, read_state
from rlhf.tracking.views import save_views


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_runs_page_and_the_command_that_serves_it(tmp_path):
    state = {"uri": "sqlite:////x/mlflow.db", "experiment_id": "1", "run_id": "abc"}
    (tmp_path / "tracking.json").write_text(json.dumps(state))
    links = directory_links(tmp_path)
    assert links["mlflow"] == "rlhf ui --uri sqlite:////x/mlflow.db"
    assert links["run"].startswith("http://127.0.0.1:5000/#/experiments/1/runs/abc")


def test_a_run_without_tracking_has_no_links(tmp_path):
    assert directory_links(tmp_path) == {}


def test_rlhf_ui_is_told_the_store_where_it_would_not_find_it(tmp_path, monkeypatch):
    here = f"sqlite:///{tmp_path}/outputs/mlflow.db"
    assert ui_command(here) == "rlhf ui"
    assert ui_command("sqlite:////a b/m.db") == "rlhf ui --uri 'sqlite:////a b/m.db'"
    assert "secret" not in ui_command("postgresql://me:secret@host/db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////x/m.db")
    assert ui_command("sqlite:////x/m.db") == "rlhf ui"
    assert ui_command(here) == f"rlhf ui --uri {here}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")  # which MLflow refuses
    assert ui_command(here) == f"rlhf ui --uri {here}"


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "https://u:p@host", "databricks", "databricks://profile"]
)
def test_a_server_needs_no_command(uri):
    assert ui_command(uri) is None


def swept(rundirs, store, sweep):
    run = rundirs.make_run(sweep / "c0.1")
    tags = {"stage": "ppo", "sweep": sweep.name}
    open_state(run, uri=store, experiment="unit", name="r", params={}, tags=tags)
    return run


def test_the_page_of_a_sweep_is_its_saved_view_or_a_search(rundirs, store, client, tmp_path):
    sweep = tmp_path / "it's one"
    run = swept(rundirs, store, sweep)
    with pytest.raises(ValueError, match="holds no run of a sweep that MLflow has"):
        tracked_place(sweep)
    assert deliver(run) is None
    run_id, experiment = (read_state(run)[key] for key in ("run_id", "experiment_id"))
    uri, place = tracked_place(sweep)
    assert uri == store
    assert place == (
        f"#/experiments/{experiment}/runs?searchFilter=tags.sweep%3D%22it%27s%20one%22"
        "&workflowType=machine_learning"
    )
    runs = client.search_runs([experiment], 'tags.sweep="it\'s one"')
    assert [found.info.run_id for found in runs] == [run_id]
    save_views(client, experiment, sweep=sweep.name, rewards=["reward/gold"], params=[])
    assert tracked_place(sweep)[1] == (
        f"#/experiments/{experiment}/runs?viewStateShareKey=it_s_one.runs"
        "&workflowType=machine_learning"
    )
    assert tracked_place(run)[1].startswith(f"#/experiments/{experiment}/runs/{run_id}?")
    assert newest_place(store).startswith("#/experiments/")


def test_the_newest_experiment_of_a_store_and_of_none(store, client, rundirs, tmp_path):
    deliver(swept(rundirs, store, tmp_path / "s"))
    experiment = client.get_experiment_by_name("unit").experiment_id
    client.create_run(experiment)  # now
    assert newest_place(store) == f"#/experiments/{experiment}/runs?workflowType=machine_learning"
    (tmp_path / "empty.db").touch()
    for uri in (f"sqlite:///{tmp_path}/empty.db", "http://host:5000"):
        assert newest_place(uri) == "#/experiments?workflowType=machine_learning"

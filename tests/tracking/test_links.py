import json

import pytest

from rlhf.tracking.links import directory_links, ui_command


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

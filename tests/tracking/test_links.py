import json

from rlhf.tracking.links import directory_links


def test_a_runs_page_and_the_command_that_serves_it(tmp_path):
    state = {"uri": "sqlite:////x/mlflow.db", "experiment_id": "1", "run_id": "abc"}
    (tmp_path / "tracking.json").write_text(json.dumps(state))
    links = directory_links(tmp_path)
    assert links["mlflow"] == "mlflow ui --backend-store-uri sqlite:////x/mlflow.db --workers 1"
    assert links["run"].startswith("http://127.0.0.1:5000/#/experiments/1/runs/abc")


def test_a_run_without_tracking_has_no_links(tmp_path):
    assert directory_links(tmp_path) == {}

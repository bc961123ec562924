"""Points in MLflow: a run each, whatever the server does meanwhile."""

import pytest

from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.tracking.ended.deliver import deliver_all, pending
from rlhf.tracking.state import read_own
from tests.runs.path.conftest import GRID

pytestmark = pytest.mark.slow


@pytest.fixture
def tracked(at):
    """tracked(uri, *overrides) -> the directory of a path that was tracked there."""

    def go(uri, *overrides):
        place = ["tracking=mlflow", f"tracking.uri={uri}", "tracking.experiment=unit"]
        return at("tracked", GRID, *place, *overrides)[0]

    return go


def run_of(client, directory):
    return client.get_run(read_own(directory)["run_id"])


def test_each_point_has_a_run_with_its_tags(store, client, tracked):
    directory = tracked(store, "tracking.nested=true")
    whole = run_of(client, directory)
    for number, point in enumerate(points_of(directory)):
        run, summary = run_of(client, point), read_json(point / "summary.json")
        assert run.info.status == "FINISHED" and not pending(point)
        assert run.info.run_name == f"kl.coef={GRID[number]:g} path seed=0"
        assert run.data.params["kl.coef"] == str(GRID[number])
        assert run.data.tags["kl.controller"] == "path"
        assert run.data.tags["setting"] == f"kl.coef={GRID[number]:g} path"
        assert run.data.tags["mlflow.parentRunId"] == whole.info.run_id
        assert run.data.metrics["iteration"] == summary["iterations"]
        assert run.data.metrics["final/reward/gold"] == pytest.approx(summary["reward/gold"])
    history = client.get_metric_history(whole.info.run_id, "iteration")
    assert len(history) == read_json(directory / "summary.json")["iterations"] + 1
    ids = {read_own(place)["run_id"] for place in (*points_of(directory), directory)}
    assert len(ids) == 3
    tracked(store, "tracking.nested=true")  # again: nothing more comes of it
    assert {read_own(place)["run_id"] for place in (*points_of(directory), directory)} == ids


def test_a_server_that_is_dead_loses_nothing(tmp_path, tracked, caplog):
    """The store's folder is a file at first: nothing can be delivered."""
    (tmp_path / "later").write_text("")
    uri = f"sqlite:///{tmp_path / 'later' / 'mlflow.db'}"
    directory = tracked(uri)
    places = [*points_of(directory), directory]
    assert len(places) == 3 and all(map(pending, places))
    (tmp_path / "later").unlink()
    (tmp_path / "later").mkdir()
    assert deliver_all(directory) is None and not any(map(pending, places))

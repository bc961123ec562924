import json
import shutil
from pathlib import Path

import pytest

from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import adopt, is_own, open_state, read_own, read_state, written


def test_mlflow_params(store, client, rundirs, tmp_path):
    """700 params, one of 8,000 characters: all arrive, and what the database cuts is whole in
    the config beside it."""
    directory = rundirs.make_run(tmp_path / "kl.coef=0.05", iterations=1)
    (directory / "config.yaml").write_text("long: " + "x" * 8000 + "\n")
    params = {"long": "x" * 8000, "over_500": "y" * 600, **{f"p{i}": i for i in range(700)}}
    tracker = MLflowTracker(store, "unit")
    tracker.begin(directory, name=directory.name, params=params, tags={"stage": "ppo"})
    assert tracker.finish("FINISHED", timeout=60) is None
    run_id = read_state(directory)["run_id"]
    got = client.get_run(run_id).data.params
    assert got.keys() == params.keys() and got["p699"] == "699"
    # "..." marks a cut
    assert all(params[name].startswith(got[name].rstrip(".")) for name in ("long", "over_500"))
    copy = client.download_artifacts(run_id, "config.yaml", str(tmp_path))
    assert "x" * 8000 in Path(copy).read_text()


def test_values_are_written_as_yaml_writes_them():
    assert written({"kl.controller": "pid", "a": None, "b": True, "hub.token": "abc"}) == {
        "kl.controller": "pid",
        "a": "null",
        "b": "true",
        "hub.token": "***",
    }


def opened(directory, uri="sqlite:////x/mlflow.db"):
    directory.mkdir(exist_ok=True)
    return open_state(directory, uri=uri, experiment="unit", name="r", params={}, tags={})


def test_a_state_is_its_directorys_and_moves_with_it(tmp_path):
    run = tmp_path / "run"
    state = opened(run)
    assert is_own(run, state) and read_own(run) == state
    (tmp_path / "link").symlink_to(run)
    assert is_own(tmp_path / "link", state)
    run.rename(tmp_path / "moved")
    assert is_own(tmp_path / "moved", state)
    assert opened(tmp_path / "moved")["key"] == state["key"]


def test_a_copy_is_another_run(tmp_path):
    run, copy = tmp_path / "run", tmp_path / "copy"
    key = opened(run)["key"]
    shutil.copytree(run, copy)
    assert not is_own(copy, read_state(copy)) and read_own(copy) == {}
    adopt(copy)
    assert read_own(copy) == {}  # the original is there
    again = opened(copy)
    assert again["key"] != key and (again["starts"], again["delivered"]) == (1, -1)
    assert is_own(copy, again) and read_own(run)["key"] == key


@pytest.mark.parametrize("home", [None, "x", {}, {"path": 3}, {"path": "/gone", "host": "other"}])
def test_a_directory_from_elsewhere_owns_nothing_before_it_is_adopted(tmp_path, home):
    state = opened(tmp_path / "run") | {"home": home}
    (tmp_path / "run" / "tracking.json").write_text(json.dumps(state))
    assert read_own(tmp_path / "run") == {}
    adopt(tmp_path / "run")
    assert read_own(tmp_path / "run")["key"] == state["key"]

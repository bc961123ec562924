import json
import shutil
from pathlib import Path

import pytest

from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import adopt, is_own, mend, open_state, read_own, read_state, written


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


def damage(path):
    """A flipped bit, which leaves whole JSON."""
    path.write_text(path.read_text().replace('"run_id"', '"run_ie"'))
    return path.read_bytes()


def test_a_damaged_state_is_that_of_its_copy(tmp_path, caplog):
    run = tmp_path / "run"
    state = opened(run)
    damaged = damage(run / "tracking.json")
    assert read_own(run) == state and not caplog.text
    mend(run)
    mend(run)
    assert (run / "tracking.json.damaged").read_bytes() == damaged
    assert (run / "tracking.json").read_bytes() == (run / ".tracking.json").read_bytes()
    assert read_own(run) == state and sorted(path.name for path in run.iterdir()) == [
        ".tracking.json",
        "tracking.json",
        "tracking.json.damaged",
    ]
    assert caplog.messages == [
        f"{run}/tracking.json was damaged: it is written again from its copy, and set aside as"
        " tracking.json.damaged"
    ]


def test_a_start_sets_a_damaged_state_aside_and_goes_on_with_its_key(tmp_path):
    key = opened(tmp_path / "run")["key"]
    (tmp_path / "run" / "tracking.json").write_bytes(b"")
    again = opened(tmp_path / "run")
    assert (again["key"], again["starts"]) == (key, 2)
    assert (tmp_path / "run" / "tracking.json.damaged").read_bytes() == b""


def test_a_damaged_copy_is_written_again_and_says_nothing(tmp_path, caplog):
    run = tmp_path / "run"
    state = opened(run)
    before = (run / ".tracking.json").read_bytes()
    (run / ".tracking.json").write_bytes(before[:40])
    assert read_own(run) == state
    mend(run)
    assert (run / ".tracking.json").read_bytes() == before and not caplog.text


def test_nothing_is_known_where_both_are_damaged_or_the_state_was_removed(tmp_path):
    run = tmp_path / "run"
    opened(run)
    copy = (run / ".tracking.json").read_bytes()
    (run / ".tracking.json").write_bytes(b"{")
    damage(run / "tracking.json")
    mend(run)
    assert read_own(run) == {} and not (run / "tracking.json.damaged").exists()
    (run / ".tracking.json").write_bytes(copy)
    (run / "tracking.json").unlink()
    mend(run)
    assert read_own(run) == {} and not (run / "tracking.json").exists()


def test_a_copied_directory_is_not_mended(tmp_path):
    run, copy = tmp_path / "run", tmp_path / "copy"
    opened(run)
    shutil.copytree(run, copy)
    damaged = damage(copy / "tracking.json")
    mend(copy)
    assert read_own(copy) == {} and (copy / "tracking.json").read_bytes() == damaged

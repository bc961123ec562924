from pathlib import Path

from rlhf.tracking.mlflow import MLflowTracker
from rlhf.tracking.state import read_state, written


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

import json

from rlhf.sweeps.job import Job, Outcome
from rlhf.sweeps.launcher_json import Ledger


def test_what_an_earlier_parent_had_under_way_is_forgotten(tmp_path):
    """It is gone, or there would be no second one; how jobs ended is kept, but for those that
    run again elsewhere."""
    states = {"a": "running", "b": "waiting", "c": "time limit", "d": "failed"}
    told = {name: {"state": state, "exit_code": None} for name, state in states.items()}
    (tmp_path / "launcher.json").write_text(json.dumps({"pid": 1, "working": True, "jobs": told}))
    ledger = Ledger(tmp_path)
    ledger.forget({"d"})
    ledger.write(working=True)
    assert json.loads((tmp_path / "launcher.json").read_text())["jobs"] == {"c": told["c"]}


def test_a_file_that_cannot_be_written_stops_no_sweep(tmp_path):
    """launcher.json is a folder here, as good as a full disk; when there is room again the next
    look writes it."""
    (tmp_path / "launcher.json").mkdir()
    ledger = Ledger(tmp_path)
    outcomes = [Outcome(Job(name="a", directory=tmp_path / "a", plain={}))]
    ledger.update(outcomes)
    ledger.write(working=False)
    (tmp_path / "launcher.json").rmdir()
    ledger.update(outcomes)
    assert json.loads((tmp_path / "launcher.json").read_text())["jobs"]["a"]["state"] == "waiting"

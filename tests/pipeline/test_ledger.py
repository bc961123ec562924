import json

from rlhf.pipeline.job import Job, Outcome
from rlhf.pipeline.ledger import Ledger


def test_a_file_that_cannot_be_written_stops_no_sweep(tmp_path):
    """launcher.json is a folder here, as good as a full disk; when there is room again the next look writes it."""
    (tmp_path / "launcher.json").mkdir()
    ledger = Ledger(tmp_path)
    outcomes = [Outcome(Job(name="a", directory=tmp_path / "a", plain={}))]
    ledger.update(outcomes)
    ledger.write(working=False)
    (tmp_path / "launcher.json").rmdir()
    ledger.update(outcomes)
    assert json.loads((tmp_path / "launcher.json").read_text())["jobs"]["a"]["state"] == "waiting"

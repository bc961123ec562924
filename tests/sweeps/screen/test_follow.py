import io
import json
import time

import pytest
from rich.console import Console

from rlhf.rundir.status import write_status
from rlhf.sweeps.launcher_json import Ledger
from rlhf.sweeps.screen import follow
from rlhf.sweeps.screen.follow import Follower, following

NAMES = ("before", "bad", "on", "later")


def finish(directory):
    write_status(directory, state="finished", exit_code=0)
    (directory / "summary.json").write_text('{"status": "finished"}')


@pytest.fixture
def sweep(tmp_path):
    """One job finished and one failed under an earlier command."""
    for name in NAMES:
        (tmp_path / name).mkdir()
    (tmp_path / "sweep.json").write_text(
        json.dumps({"jobs": [{"name": name} for name in (*NAMES, "of another command")]})
    )
    finish(tmp_path / "before")
    write_status(tmp_path / "bad", state="failed", exit_code=3)
    Ledger(tmp_path).write(working=True)
    time.sleep(0.01)
    return tmp_path


def states(follower):
    return {outcome.job.name: (outcome.state, outcome.exit_code) for outcome in follower.outcomes()}


def test_what_jobs_do_since_then(sweep):
    follower = Follower(sweep, NAMES)
    write_status(sweep / "on", state="running", stage="ppo", iteration=1, iterations=9)
    found = states(follower)
    assert list(found) == list(NAMES)
    assert (found["before"], found["on"]) == (("finished before", 0), ("running", None))
    # it failed before, and will be tried again
    assert found["bad"] == found["later"] == ("waiting", None)
    time.sleep(0.05)
    finish(sweep / "on")
    write_status(sweep / "bad", state="failed", exit_code=1)
    assert states(follower) == {
        "before": ("finished before", 0),
        "bad": ("failed", 1),
        "on": ("finished", 0),
        "later": ("waiting", None),
    }
    took = {outcome.job.name: outcome.seconds for outcome in follower.outcomes()}
    assert (
        0.05
        <= took["on"]
        == {outcome.job.name: outcome.seconds for outcome in follower.outcomes()}["on"]
    )


def test_lines_while_others_run_them(sweep, monkeypatch):
    monkeypatch.setattr(follow, "LOOK", 0.02)
    out = io.StringIO()
    with following(Console(file=out, width=160), sweep, NAMES):
        write_status(sweep / "on", state="running", stage="ppo", iteration=3, iterations=9)
        deadline = time.monotonic() + 20
        while "on: ppo 3/9" not in out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        finish(sweep / "on")  # the last look comes after the end
    assert out.getvalue().splitlines() == ["on: ppo 3/9", "on: finished after 0 s"]

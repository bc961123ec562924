import io
import json
import time

import pytest
from rich.console import Console

from rlhf.rundir.status import write_status
from rlhf.sweeps.job import Job, Ledger, Outcome
from rlhf.sweeps.screen import live
from rlhf.sweeps.screen.live import Follower, SweepWatcher, fitting, following, time_left


@pytest.fixture
def outcome(tmp_path):
    (tmp_path / "status.json").write_text(
        json.dumps({"state": "running", "stage": "ppo", "iteration": 3, "iterations": 10})
    )
    rows = [
        {
            "iteration": i,
            "reward/proxy": 0.25 * i,
            "reward/gold": 0.1,
            "kl/sequence_nats": 1.5,
            "kl/coef": 0.05,
        }
        for i in (1, 2)
    ]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows) + '{"iteration": 3, "rew'
    )
    return Outcome(Job(name="a", directory=tmp_path, plain={}), "running")


def console():
    return Console(file=io.StringIO(), width=160)


def test_time_left_counts_from_the_first_look(tmp_path, monkeypatch):
    now = iter([100.0, 110.0, 110.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    watcher = SweepWatcher(console(), None)
    assert watcher.left(tmp_path, {"stage": "ppo", "iteration": 2, "iterations": 10}) is None
    assert watcher.left(tmp_path, {"stage": "ppo", "iteration": 4, "iterations": 10}) == 30.0


def test_the_whole_sweep_by_hand(tmp_path):
    """Jobs took 60 and 80 s. Two run with 30 and 10 s left, three wait at 70 s each: 250 s over two
    at once."""

    def jobs(*states):
        return [
            Outcome(Job(name=str(i), directory=tmp_path, plain={}), state, seconds=seconds)
            for i, (state, seconds) in enumerate(states)
        ]

    done, on, wait = ("finished", 60.0), ("running", 0.0), ("waiting", 0.0)
    sweep = jobs(done, ("finished", 80.0), on, on, wait, wait, wait)
    assert time_left(sweep, [30.0, 10.0]) == 125.0
    # one whose own is not known takes the mean; none can be told before one has finished
    assert time_left(sweep, [30.0, None]) == 155.0
    assert time_left(jobs(on, wait), [30.0]) is None
    assert time_left(jobs(on, on), [30.0, 5.0]) == 30.0
    assert time_left(jobs(done), []) is None


def test_plain_lines_only_where_something_changed(outcome, tmp_path):
    out = console()
    watcher = SweepWatcher(out, None)
    watcher.update([outcome])
    watcher.update([outcome])
    outcome.state, outcome.exit_code, outcome.seconds = "failed", -9, 61.0
    watcher.update([outcome])
    assert out.file.getvalue().splitlines() == [
        "a: ppo 3/10  proxy +0.500 gold +0.100 KL 1.50 coef 0.05",
        "a: failed (SIGKILL) after 1 min 01 s  proxy +0.500 gold +0.100 KL 1.50 coef 0.05"
        "  (0 of 1 job finished)",
    ]


def test_live_table(outcome):
    out = console()
    out.print(
        SweepWatcher(out, None).table(
            [outcome, Outcome(Job(name="b", directory=outcome.job.directory, plain={}))]
        )
    )
    header, first, second, whole = out.file.getvalue().splitlines()
    numbers = ["proxy", "gold", "KL", "coef"]
    assert header.split() == ["job", "state", "stage", "iteration", *numbers, "time"]
    assert first.split() == ["a", "running", "ppo", "3/10", "+0.500", "+0.100", "1.50", "0.05"]
    assert second.split() == ["b", "waiting"]
    assert whole.strip() == "0 of 2 jobs finished"


def test_a_table_higher_than_the_terminal_shows_what_runs(tmp_path):
    states = ["finished"] * 4 + ["running", "failed", "running"] + ["waiting"] * 5
    outcomes = [
        Outcome(Job(name=str(i), directory=tmp_path, plain={}), state)
        for i, state in enumerate(states)
    ]
    shown, rest = fitting(outcomes, 5)
    assert ([outcome.job.name for outcome in shown], rest) == (
        ["0", "4", "5", "6"],
        "8 more: 5 waiting, 3 finished",
    )
    assert fitting(outcomes, 12) == (outcomes, "")
    out = console()
    out.print(SweepWatcher(out, None).table(outcomes, rows=5))
    assert len(out.file.getvalue().splitlines()) == 7


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
    monkeypatch.setattr(live, "LOOK", 0.02)
    out = io.StringIO()
    with following(Console(file=out, width=160), sweep, NAMES):
        write_status(sweep / "on", state="running", stage="ppo", iteration=3, iterations=9)
        deadline = time.monotonic() + 20
        while "on: ppo 3/9" not in out.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        finish(sweep / "on")  # the last look comes after the end
    assert out.getvalue().splitlines() == [
        "on: ppo 3/9",
        "on: finished after 0 s  (2 of 4 jobs finished)",
    ]

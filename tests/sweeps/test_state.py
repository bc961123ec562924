import io
import json
import os
import socket
import subprocess
import sys
import time

import pytest
from rich.console import Console

from rlhf.rundir.status import is_alive, write_status
from rlhf.sweeps.state import last_lines, last_row, numbers, print_state, sweep_state


def test_a_line_cut_by_a_kill_is_not_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"iteration": 1}\n{"iteration": 2}\n{"iteration": 3, "rew'
    )
    assert last_row(tmp_path / "metrics.jsonl") == {"iteration": 2}
    assert last_row(tmp_path / "nothing.jsonl") == {}


def test_last_lines_that_say_something(tmp_path):
    (tmp_path / "log.txt").write_text("one\n two\n\nthree\n\n")
    assert last_lines(tmp_path / "log.txt", 2) == ["two", "three"]
    assert last_lines(tmp_path / "nothing", 2) == []


def test_numbers():
    assert numbers({"reward/proxy": 0.5, "kl/sequence_nats": 1.234, "kl/coef": 0.05}) == {
        "reward": "+0.500",
        "KL": "1.23",
        "coef": "0.05",
    }
    assert numbers({"eval/reward/proxy": "nan"}) == {"reward": "nan", "KL": "", "coef": ""}


@pytest.fixture(scope="module")
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_which_process_lives(gone):
    now = time.time()
    assert is_alive({"pid": os.getpid(), "time": now})
    assert is_alive({"pid": gone, "time": now}) is False
    assert is_alive({}) is False
    assert is_alive({"pid": gone, "host": "elsewhere"}) is None
    if os.path.exists("/proc/uptime"):
        # the number is another process's now
        assert is_alive({"pid": os.getpid(), "time": now - 86400 * 365}) is False


def job(directory, **status):
    directory.mkdir(parents=True)
    if status:
        written = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "time": time.time(),
            "stage": "ppo",
            "iteration": 3,
            "iterations": 9,
        }
        (directory / "status.json").write_text(json.dumps({**written, **status}))


def launcher(directory, pid, working=True, **jobs):
    written = {"pid": pid, "host": socket.gethostname(), "time": time.time(), "working": working}
    (directory / "launcher.json").write_text(json.dumps({**written, "jobs": jobs}))


def states(directory):
    return {job.name: (job.state, job.exit_code) for job in sweep_state(directory).jobs}


@pytest.fixture
def sweep(tmp_path, gone):
    """A sweep whose jobs stand in every way."""
    place = tmp_path / "s"
    job(place / "done", state="finished", exit_code=0)
    (place / "done" / "summary.json").write_text('{"status": "finished"}')
    job(place / "bad", state="failed", exit_code=1)
    (place / "bad" / "log.txt").write_text("Traceback\nValueError: a bad day\n")
    job(place / "killed", state="running", pid=gone)
    job(place / "slow", state="stopped", exit_code=143)
    job(place / "on", state="running")
    job(place / "lost", state="running", pid=gone)
    job(place / "far", state="running", pid=gone, host="elsewhere")
    names = ["done", "bad", "killed", "slow", "on", "lost", "far", "later"]
    (place / "sweep.json").write_text(
        json.dumps({"name": "s", "jobs": [{"name": name, "overrides": []} for name in names]})
    )
    told = {
        "killed": {"state": "failed", "exit_code": -9},
        "slow": {"state": "time limit", "exit_code": 143},
    }
    return place, {
        **told,
        "on": {"state": "running"},
        "lost": {"state": "running"},
        "later": {"state": "waiting"},
    }


def test_the_parent_was_killed(sweep, gone):
    place, told = sweep
    launcher(place, gone, **told)
    assert states(place) == {
        "done": ("finished", 0),
        "bad": ("failed", 1),
        "killed": ("failed", -9),
        "slow": ("time limit", 143),
        "on": ("running", None),  # it has not noticed yet
        "lost": ("cut", None),
        "far": ("running", None),  # its machine is not this one
        "later": ("not started", None),
    }


def test_the_parent_is_at_work(sweep):
    place, told = sweep
    launcher(place, os.getpid(), **{**told, "bad": {"state": "waiting"}})
    found = states(place)
    assert (found["bad"], found["later"], found["on"]) == (
        ("waiting", None),
        ("waiting", None),
        ("running", None),
    )
    assert sweep_state(place).parent == os.getpid()


def test_without_a_launchers_file(sweep):
    """Other launchers write none: the runs' own files say it."""
    place, _ = sweep
    found = states(place)
    assert (found["killed"], found["slow"], found["on"]) == (
        ("cut", None),
        ("stopped", 143),
        ("running", None),
    )


def test_what_is_printed(sweep, gone):
    place, told = sweep
    launcher(place, gone, **told)
    out = io.StringIO()
    print_state(Console(file=out, width=160), place)
    lines = out.getvalue().splitlines()
    assert lines[0].split() == [
        "job",
        "state",
        "exit",
        "stage",
        "iteration",
        "reward",
        "KL",
        "coef",
        "seen",
    ]
    assert lines[2].split() == ["bad", "failed", "1", "ppo", "3/9"]
    assert "  | ValueError: a bad day" in lines
    assert f"  log: {place / 'bad' / 'log.txt'}" in lines
    assert lines[-1].startswith(f"8 jobs in {place}: 2 failed, 2 running, 1 finished")


def test_a_sweep_at_rest_says_how_to_go_on(tmp_path):
    job(tmp_path / "s" / "bad", state="failed", exit_code=1)
    out = io.StringIO()
    print_state(Console(file=out, width=160), tmp_path / "s")
    assert (
        out.getvalue()
        .splitlines()[-1]
        .endswith("1 failed; nobody is at work on them; the same command runs what is missing")
    )


def test_a_run_writes_who_it_is(tmp_path):
    write_status(tmp_path, state="running")
    assert is_alive(json.loads((tmp_path / "status.json").read_text()))

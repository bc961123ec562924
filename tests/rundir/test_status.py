import json
import os
import socket
import subprocess
import sys
import time

import pytest

from rlhf.compare.read.runs import load
from rlhf.reproduce.target import read_original
from rlhf.rundir.disk.owner import is_alive
from rlhf.rundir.files import write_json
from rlhf.rundir.status import read_status, sweep_jobs, write_status


def test_status_keeps_what_is_not_said_again(tmp_path):
    write_status(tmp_path, state="running", stage="ppo", iteration=3, iterations=9)
    write_status(tmp_path, state="stopped", exit_code=143)
    status = read_status(tmp_path)
    assert (status["state"], status["iteration"], status["iterations"], status["exit_code"]) == (
        "stopped",
        3,
        9,
        143,
    )
    assert read_status(tmp_path / "nowhere") == {}


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


def test_a_run_writes_who_it_is(tmp_path):
    write_status(tmp_path, state="running")
    assert is_alive(json.loads((tmp_path / "status.json").read_text()))


def test_one_word_for_a_job_wherever_it_is_asked(tmp_path, gone):
    """The list of a sweep's jobs, the report and the reproduction say the same of each."""
    here = {"host": socket.gethostname(), "time": time.time()}
    statuses = {
        "done": {"state": "finished"},
        "dead": {"state": "running", "pid": gone, **here},
        "alive": {"state": "running", "pid": os.getpid(), **here},
        "bad": {"state": "failed", "exit_code": 1},
        "slow": {"state": "stopped", "exit_code": 143},
        "sigterm": {"state": "stopped", "exit_code": 143},
        "never": {},
    }
    for name, status in statuses.items():
        if status:
            write_json(tmp_path / name / "status.json", status)
            write_json(tmp_path / name / "manifest.json", {"kind": "run"})
    write_json(tmp_path / "done" / "summary.json", {"status": "finished"})
    write_json(tmp_path / "sweep.json", {"jobs": [{"name": name} for name in statuses]})
    ended = {"slow": {"state": "time limit", "exit_code": 143}}

    def words(working):
        launcher = {"pid": os.getpid(), "working": working, "jobs": ended, **here}
        write_json(tmp_path / "launcher.json", launcher)
        listed = {job.name: job.state for job in sweep_jobs(tmp_path)}
        assert {run.name: run.status for run in load(tmp_path)} == listed
        assert {name: read_original(tmp_path / name).state for name in statuses} == listed
        return listed

    assert words(working=False) == {
        "done": "finished",
        "dead": "cut",
        "alive": "running",
        "bad": "failed",
        "slow": "time limit",
        "sigterm": "stopped",
        "never": "not started",
    }
    assert words(working=True)["never"] == "waiting"

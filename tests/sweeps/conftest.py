import json
import os
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def gone():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


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


@pytest.fixture
def write():
    """write.job(directory, **status), write.launcher(directory, pid, working, **jobs)"""
    return SimpleNamespace(job=job, launcher=launcher)


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

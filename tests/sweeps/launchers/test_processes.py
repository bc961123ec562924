import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf.rundir.status import read_status
from rlhf.sweeps.job import Job
from rlhf.sweeps.launchers.processes import run_jobs

sys.path.insert(0, str(Path(__file__).parents[1]))  # the children import it by name
import jobs as targets  # noqa: E402


def job(tmp_path, name, **plain):
    return Job(name=name, directory=tmp_path / name, plain=plain)


def wait_until(true, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return (
        Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc").exists() else True
    )


def test_a_bad_job_never_stops_the_others(tmp_path):
    ways = ["raise", "exit", "kill", "odd", "finish"]
    outcomes, code = run_jobs([job(tmp_path, how, how=how) for how in ways], targets.by_name, 2)
    assert code is None
    assert [outcome.state for outcome in outcomes] == ["failed"] * 4 + ["finished"]
    assert [outcome.ended for outcome in outcomes] == [
        "exit 1",
        "exit 3",
        "SIGKILL",
        f"signal {signal.SIGRTMIN + 6}",
        "exit 0",
    ]
    assert outcomes[0].last_line == "ValueError: a bad day"
    assert "here is kill" in outcomes[2].job.log.read_text()


def test_a_job_that_cannot_be_started_stops_no_other(tmp_path):
    (tmp_path / "a").write_text("a file where the folder should be")
    outcomes, _ = run_jobs([job(tmp_path, "a"), job(tmp_path, "b")], targets.by_name, 1)
    assert [(outcome.state, outcome.exit_code) for outcome in outcomes] == [
        ("failed", 1),
        ("finished", 0),
    ]
    assert outcomes[0].last_line.startswith("it could not be started: ")


def test_a_process_that_vanished_is_told_in_its_status(tmp_path):
    """A status that cannot be read or written stops nobody."""
    (tmp_path / "b" / "status.json").mkdir(parents=True)
    run_jobs([job(tmp_path, "a", how="vanish"), job(tmp_path, "b", how="kill")], targets.by_name, 1)
    status = read_status(tmp_path / "a")
    assert (status["state"], status["exit_code"], status["error"]) == (
        "failed",
        7,
        "failed (exit 7)",
    )


def test_each_session_adds_to_the_log(tmp_path):
    for _ in range(2):
        run_jobs([job(tmp_path, "a")], targets.by_name, 1)
    assert (tmp_path / "a" / "log.txt").read_text().count("here is a") == 2


def test_n_at_a_time(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    alone, _ = run_jobs(
        [job(tmp_path, f"a{i}", place=str(place), together=1) for i in range(3)], targets.meet, 1
    )
    assert [outcome.state for outcome in alone] == ["finished"] * 3
    assert [(tmp_path / f"a{i}" / "seen").read_text() for i in range(3)] == ["1"] * 3
    together, _ = run_jobs(
        [job(tmp_path, f"t{i}", place=str(place), together=3) for i in range(3)], targets.meet, 3
    )
    assert [outcome.state for outcome in together] == ["finished"] * 3


def test_past_its_time_limit_a_job_is_asked_to_stop_then_killed(tmp_path):
    (asked,), _ = run_jobs([job(tmp_path, "a")], targets.wait_for_sigterm, 1, time_limit=2.0)
    assert (asked.state, asked.ended) == ("time limit", "exit 143")
    assert (tmp_path / "a" / "saved").exists()
    (killed,), code = run_jobs(
        [job(tmp_path, "b")], targets.ignore_sigterm, 1, time_limit=2.0, grace=0.5
    )
    assert (killed.state, killed.ended) == ("time limit", "SIGKILL")
    assert 2.5 <= killed.seconds < 20
    assert code is None


class Unwinds:
    """Raises when all jobs have started."""

    def __init__(self, places):
        self.places = places

    def update(self, outcomes):
        if all(
            (place / "started").exists() and (place / "started").read_text()
            for place in self.places
        ):
            raise OSError("somebody's signal handler")


def test_whoever_unwinds_leaves_no_job_and_waits_once(tmp_path):
    places = [tmp_path / name for name in ("a", "b", "c")]
    began = time.monotonic()
    with pytest.raises(OSError, match="somebody's"):
        jobs = [job(tmp_path, place.name) for place in places]
        run_jobs(jobs, targets.ignore_sigterm, 3, grace=2.0, watch=Unwinds(places).update)
    ended = max((place / "started").stat().st_mtime for place in places)
    assert not any(alive(int((place / "started").read_text())) for place in places)
    assert time.time() - ended < 5.5
    assert time.monotonic() - began < 60


def test_one_gpu_each(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    jobs = [job(tmp_path, name, place=str(place), together=2) for name in ("a", "b")]
    run_jobs(jobs, targets.write_gpu, 2, gpus=("0", "GPU-7"))
    assert [(tmp_path / name / "gpu").read_text() for name in ("a", "b")] == ["0", "GPU-7"]


def test_a_job_sees_as_many_gpus_as_it_has_devices(tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    two = {"trainer": {"devices": 2}}
    jobs = [job(tmp_path, name, place=str(place), together=2, **two) for name in ("a", "b")]
    run_jobs(jobs, targets.write_gpu, 2, gpus=("0", "1", "2", "3"))
    assert [(tmp_path / name / "gpu").read_text() for name in ("a", "b")] == ["0,1", "2,3"]


PARENT = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from jobs import wait_for_sigterm
from rlhf.sweeps.job import Job
from rlhf.sweeps.launchers.processes import run_jobs
from rlhf.rundir.status import read_status

if __name__ == "__main__":
    names = ["a", "b"]
    jobs = [Job(name=n, directory=Path({there!r}) / n, plain={{}}) for n in names]
    outcomes, code = run_jobs(jobs, wait_for_sigterm, 1, preload={preload!r})
    print([o.state for o in outcomes], flush=True)
    sys.exit(code or 0)
"""


@pytest.fixture
def start(tmp_path):
    """start(how SIGHUP is met, a module of its server) -> the parent, when its first job works."""
    script = tmp_path / "parent.py"
    places = (Path(__file__).parents[3], Path(__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    started = []

    def go(hangup=signal.SIG_DFL, server=None):
        here, preload = str(Path(__file__).parents[1]), [server] if server else []
        script.write_text(PARENT.format(here=here, there=str(tmp_path), preload=preload))
        before = signal.signal(signal.SIGHUP, hangup)  # a child begins with it
        started.append(
            subprocess.Popen(
                [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=env
            )
        )
        signal.signal(signal.SIGHUP, before)
        wait_until(
            lambda: (
                (tmp_path / "a" / "started").exists() and (tmp_path / "a" / "started").read_text()
            )
        )
        return started[0]

    yield go
    for process in started:
        process.kill()


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143), (signal.SIGUSR1, 143)],
)
def test_a_signal_asks_the_jobs_to_stop_and_waits(start, tmp_path, number, code):
    parent = start()
    parent.send_signal(number)
    output, _ = parent.communicate(timeout=30)
    assert parent.returncode == code
    assert output == "['stopped', 'not started']\n"
    assert (tmp_path / "a" / "saved").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_scheduler_signals_every_process_of_a_job(start, tmp_path, number):
    """Slurm does: the server that jobs are forked from lives on, so that they end in their own
    way."""
    parent = start(server="held")
    child = int((tmp_path / "a" / "started").read_text())
    server = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    assert server != parent.pid
    for process in (server, child, parent.pid):
        os.kill(process, number)
    output, _ = parent.communicate(timeout=30)
    assert (parent.returncode, output) == (143, "['stopped', 'not started']\n")
    assert (tmp_path / "a" / "saved").exists()
    wait_until(lambda: not alive(server))


def test_a_job_past_its_own_limit_is_told_so(tmp_path):
    """`time_limit` of its config: it stops by itself and says why."""
    (own, before), code = run_jobs(
        [job(tmp_path, "a", how="limit"), job(tmp_path, "b", how="raise")], targets.by_name, 1
    )
    assert (own.state, own.ended, before.state, code) == ("time limit", "exit 143", "failed", None)


def test_under_nohup_a_closed_terminal_is_no_reason_to_stop(start):
    """The exit code is the first signal's: 130 is Ctrl-C."""
    parent = start(signal.SIG_IGN)
    parent.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=30)
    assert parent.returncode == 130


def test_jobs_notice_that_their_parent_died(start, tmp_path):
    parent = start()
    child = int((tmp_path / "a" / "started").read_text())
    parent.kill()
    parent.wait()
    wait_until(lambda: (tmp_path / "a" / "saved").exists())
    wait_until(lambda: not alive(child))

import errno
import io
import json
import os
import sys
import threading
from pathlib import Path

import pytest
from hydra.core.utils import JobStatus
from rich.console import Console

from rlhf.config.compose import compose, validate
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.lock import owned
from rlhf.rundir.status import sweep_jobs, write_status
from rlhf.sweeps.job import Job, JobFailed, Outcome, job_of
from rlhf.sweeps.launchers.local import (
    LocalLauncher,
    _job_return,
    _wait_for_survivor,
    run_sweep,
)

sys.path.insert(0, str(Path(__file__).parents[1]))
import jobs as targets  # noqa: E402

SETTINGS = ["tracking=none", "sweep=s"]


@pytest.fixture(scope="module")
def planned():
    return [
        ((f"kl.coef={coef}",), validate(compose([*SETTINGS, f"kl.coef={coef}"])))
        for coef in (0, 0.1)
    ]


def sweep(planned, directory, **arguments):
    out = io.StringIO()
    outcomes = run_sweep(planned, directory, console=Console(file=out, width=200), n=1, **arguments)
    return [outcome.state for outcome in outcomes], out.getvalue()


def test_only_what_is_missing_runs_again(planned, tmp_path):
    place = tmp_path / "s"
    states, said = sweep(planned, place, target=targets.fail_first)
    assert states == ["failed", "finished"]
    assert "the first try fails" in said
    assert "log.txt" in said
    finished = place / planned[1][1].paths.run_name / "summary.json"
    before = finished.stat().st_mtime_ns
    states, said = sweep(planned, place, target=targets.fail_first)
    assert states == ["finished", "finished before"]
    assert "1 finished before" in said
    assert finished.stat().st_mtime_ns == before
    assert sweep(planned, place, target=targets.fail_first)[0] == [
        "finished before",
        "finished before",
    ]


def test_jobs_of_before_are_counted_and_left_alone(planned, tmp_path):
    old = tmp_path / "s" / "kl0-fixed-seed0-aaaaaaaa"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text('{"kind": "run"}')
    states, said = sweep(planned, tmp_path / "s", target=targets.fail_first)
    assert len(states) == 2
    assert "2 jobs in" in said
    assert "1 made under another version of the run hash than 2 stay as they are" in said
    assert [path.name for path in old.iterdir()] == ["manifest.json"]


def test_jobs_that_are_the_same_run_are_run_once(planned, tmp_path):
    states, said = sweep([planned[1], planned[1]], tmp_path / "s", target=targets.by_name)
    assert states == ["finished", "finished"]
    assert "1 more would be the same runs again" in said
    assert len(list((tmp_path / "s").glob("kl*"))) == 1


def test_a_second_parent_is_refused(planned, tmp_path):
    with owned(tmp_path / "s"), pytest.raises(RunFailed, match="another rlhf is at work"):
        sweep(planned, tmp_path / "s", target=targets.by_name)
    assert sweep(planned, tmp_path / "s", target=targets.by_name)[0] == ["finished", "finished"]


class Terminal(io.StringIO):
    """It is closed once it has named a job."""

    def write(self, text):
        if "kl0-fixed" in self.getvalue():
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("live", [False, True])
def test_a_terminal_that_was_closed_stops_no_sweep(planned, tmp_path, live):
    """SIGHUP does, where it is not ignored."""
    console = Console(file=Terminal(), width=200, force_terminal=live)
    outcomes = run_sweep(planned, tmp_path / "s", console=console, n=1, target=targets.by_name)
    assert [outcome.state for outcome in outcomes] == ["finished", "finished"]
    assert not json.loads((tmp_path / "s" / "launcher.json").read_text())["working"]


def test_a_process_that_outlived_its_parent_is_waited_for(planned, tmp_path, capsys):
    job = job_of(planned[0][1], planned[0][0], tmp_path / "s")
    waiting = threading.Thread(target=_wait_for_survivor, args=(job,))
    with owned(job.directory):
        write_status(job.directory, state="running")
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()
    assert (
        f"process {os.getpid()} of an earlier command is at work on this run"
        in capsys.readouterr().out
    )
    with owned(job.directory):
        pass


def test_what_a_sweeper_gets(tmp_path, capsys):
    job = Job(name="a", directory=tmp_path, plain={}, overrides=("seed=1",))
    targets.finish(job)
    good = _job_return(Outcome(job, "finished", 0))
    assert (good.status, good.return_value, good.overrides) == (
        JobStatus.COMPLETED,
        {"status": "finished"},
        ("seed=1",),
    )
    job.log.write_text("one\nValueError: a bad day\n")
    bad = _job_return(Outcome(job, "failed", -9))
    with pytest.raises(JobFailed) as failed:
        _ = bad.return_value
    assert (
        str(failed.value)
        == f"a: failed (SIGKILL): ValueError: a bad day; see {tmp_path / 'log.txt'}"
    )
    assert capsys.readouterr().err == ""


def test_the_launchers_own_settings():
    launcher = LocalLauncher(jobs=3, time_limit="2h", grace=5)
    assert (launcher.jobs, launcher.time_limit, launcher.grace) == (3, 7200, 300)
    assert (LocalLauncher().jobs, LocalLauncher().time_limit) == (None, None)
    for wrong in ({"jobs": 0}, {"jobs": "two"}, {"time_limit": "soon"}):
        with pytest.raises(ValueError, match="jobs=|duration"):
            LocalLauncher(**wrong)


def test_its_file_says_how_each_job_ended(planned, tmp_path):
    sweep(planned, tmp_path / "s", target=targets.fail_first)
    written = json.loads((tmp_path / "s" / "launcher.json").read_text())
    assert (written["pid"], written["working"]) == (os.getpid(), False)
    assert [(job["state"], job["exit_code"]) for job in written["jobs"].values()] == [
        ("failed", 1),
        ("finished", 0),
    ]
    assert [job.state for job in sweep_jobs(tmp_path / "s")] == ["failed", "finished"]


@pytest.mark.parametrize(
    ("setting", "value"), [("time_limit", "2x"), ("time_limit", -1), ("grace", "soon")]
)
def test_a_wrong_duration_is_told_with_its_key(setting, value):
    with pytest.raises(ValueError, match=f"^hydra.launcher.{setting}={value}: .* is no duration"):
        LocalLauncher(**{setting: value})

"""Whole commands as processes: signals, a scheduler's environment, output that nobody reads."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlhf.commands.runs import run as cli
from rlhf.rundir.status import read_status
from tests.commands.runs.test_run import TINY

ROOT = Path(__file__).parents[2]
RLHF = f"{sys.executable} -m rlhf"


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def start(*words, cwd, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "rlhf", *words],
        cwd=cwd,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(true, process):
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def iterations(home):
    return sum(
        len(path.read_text().splitlines()) for path in home.glob("outputs/*/*/metrics.jsonl")
    )


def handles(process, number):
    """From Linux's /proc: whether the process has a handler for the signal."""
    status = Path(f"/proc/{process.pid}/status").read_text().split()
    return bool(int(status[status.index("SigCgt:") + 1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into Linux's /proc")
@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGINT, 130, "rlhf: stopped by Ctrl-C"),
        (signal.SIGTERM, 143, "rlhf: stopped by SIGTERM"),
        (signal.SIGHUP, 143, "rlhf: stopped by SIGHUP"),
    ],
)
def test_in_the_first_seconds_a_line_and_no_traceback(tmp_path, number, code, line):
    process = start(*TINY, cwd=tmp_path)
    wait_until(lambda: handles(process, signal.SIGUSR1), process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (code, "")
    assert errors.splitlines()[-1] == line and "Traceback" not in errors
    assert not [*tmp_path.rglob("status.json")]


@pytest.mark.parametrize(
    "words", [["--help"], ["--cfg", "job"], ["compare", "--help"], ["kl.coef=abc"]], ids=" ".join
)
@pytest.mark.parametrize("ending", ["2>&1 | true", ">&- 2>&-"])
def test_nobody_reads_a_short_command(tmp_path, words, ending):
    """It ends as ever, without a traceback on a stderr that is still there."""
    whole = f"({RLHF} {' '.join(words)}; echo $? > code) {ending}"
    subprocess.run(["bash", "-c", whole], cwd=tmp_path, env=environment(), timeout=60, check=False)
    assert (tmp_path / "code").read_text() == ("2\n" if words == ["kl.coef=abc"] else "0\n")
    only = f"{RLHF} {' '.join(words)} | true"
    done = subprocess.run(
        ["bash", "-c", only], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_answer_that_could_not_be_written_is_no_success(tmp_path):
    words = ["bash", "-c", f"{RLHF} --cfg job > /dev/full"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "rlhf: stdout could not be written: [Errno 28] No space left on device\n"
    )


@pytest.mark.parametrize(
    "ranks", [{"RANK": "1", "WORLD_SIZE": "2"}, {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}]
)
def test_two_processes_of_one_run_are_refused(tmp_path, monkeypatch, capsys, ranks):
    from rlhf import run
    from rlhf.config.compose import compose
    from rlhf.config.validate import ConfigError

    monkeypatch.chdir(tmp_path)
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    assert cli.main(TINY) == 2
    assert "this is one of several processes" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="this is one of several processes"):
        run(compose(TINY))
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_a_run_goes_on_when_nobody_reads_it(tmp_path):
    """And what it says from then on stands in its log."""
    words = ["bash", "-c", f"({RLHF} {' '.join(TINY)}; echo $? > code) 2>&1 | true"]
    subprocess.run(words, cwd=tmp_path, env=environment(), timeout=300, check=False)
    assert (tmp_path / "code").read_text() == "0\n"
    (status,) = tmp_path.glob("outputs/*/*/status.json")
    assert read_status(status.parent)["state"] == "finished"
    log = (status.parent / "log.txt").read_text()
    assert "Traceback" not in log and str(status.parent.relative_to(tmp_path)) in log


@pytest.fixture
def slurm(tmp_path):
    """The environment of a Slurm job whose scontrol writes its calls down in `calls`."""
    fake = tmp_path / "bin" / "scontrol"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "calls"}\n')
    fake.chmod(0o755)
    path = f"{fake.parent}{os.pathsep}{os.environ['PATH']}"
    return {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "PATH": path}


def warned(command, true):
    """All that a command says that is warned by Slurm once something is true."""
    while not true():
        assert command.code is None, command.output.read_text()
        time.sleep(0.01)
    command.signal(signal.SIGUSR1)
    ended = command.wait(120)
    assert ended.code == 143 and ended.text.count("\njob 77 is queued again\n") == 1, ended.text


@pytest.mark.slow
def test_a_sweep_that_is_warned_is_queued_again_once(tmp_path, slurm, commands):
    words = ["-m", *TINY, "ppo.iterations=100000", "seed=0,1", "hydra.launcher.jobs=2", "sweep=s"]
    sweep = commands.start(tmp_path, [*words, "requeue=true"], environment=slurm)
    warned(sweep, lambda: len([*tmp_path.glob("sweeps/s/*/checkpoints/*.sha256")]) >= 2)
    assert (tmp_path / "calls").read_text() == "requeue 77\n"
    states = [read_status(path.parent) for path in tmp_path.glob("sweeps/s/*/status.json")]
    assert [status["state"] for status in states] == ["stopped", "stopped"]


@pytest.mark.slow
def test_a_slurm_job_that_is_warned_saves_and_is_queued_again(tmp_path, slurm, commands):
    """The next job finds its directory, and ends as a run that nobody warned."""
    words = [*TINY, "ppo.iterations=40", "evaluation.every=40"]
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    for folder in (cut, whole):
        folder.mkdir()
    first = commands.start(cut, [*words, "requeue=true"], environment=slurm)
    warned(first, lambda: iterations(cut) > 5)
    assert (tmp_path / "calls").read_text() == "requeue 77\n"
    metrics = []
    for folder, more in ((cut, ["requeue=true"]), (whole, [])):
        ended = commands.run(folder, [*words, *more], environment=slurm)
        assert ended.code == 0, ended.text
        (file,) = folder.glob("outputs/*/*/metrics.jsonl")
        metrics.append(file.read_bytes())
        assert not [*folder.rglob("hpc_ckpt*")]
    assert metrics[0] == metrics[1]
    assert (tmp_path / "calls").read_text() == "requeue 77\n"

import signal

import pytest

from rlhf.runs.machine.cluster import queue_again, requeue, several


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, None),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, None),
        ({"WORLD_SIZE": "2", "RANK": "0"}, "(RANK=0, WORLD_SIZE=2)"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "(RANK=1, WORLD_SIZE=2)"),
        ({"RANK": "1"}, "(RANK=1)"),
        ({"WORLD_SIZE": "2"}, None),  # left behind in a shell: nobody was given a number
        ({"RANK": "none"}, None),
        # a batch script, and a shell of salloc, that may start four tasks
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, None),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),  # srun -n 1
        (
            {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"},
            "(SLURM_PROCID=0, SLURM_STEP_NUM_TASKS=4)",
        ),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2"),
        ({"PMI_RANK": "3", "PMI_SIZE": "4"}, "PMI_RANK=3"),
    ],
)
def test_one_of_several_processes(environment, words):
    sentence = several(environment, None)
    assert (sentence is None) if words is None else (words in sentence)


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """scontrol(exit code) puts a fake one on the PATH; its calls are lines of the file that comes
    back."""

    def make(code=0):
        calls = tmp_path / "calls"
        script = tmp_path / "scontrol"
        script.write_text(f'#!/bin/sh\necho "$@" >> {calls}\necho "not yours" >&2\nexit {code}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return calls

    return make


SLURM = {"SLURM_JOB_ID": "77"}
ARRAY = {"SLURM_JOB_ID": "81", "SLURM_ARRAY_JOB_ID": "80", "SLURM_ARRAY_TASK_ID": "3"}


@pytest.mark.parametrize(("environment", "job"), [(SLURM, "77"), (ARRAY, "80_3")])
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM])
def test_a_warned_job_is_queued_again_once(scontrol, environment, job, number):
    calls = scontrol()
    assert requeue(environment, number) == f"job {job} is queued again"
    assert calls.read_text() == f"requeue {job}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_job_that_somebody_ended_is_not(scontrol, number):
    """scancel sends SIGTERM."""
    calls = scontrol()
    assert requeue(SLURM, number) == "" and not calls.exists()


def test_why_it_is_not_queued_again_is_a_sentence(scontrol, monkeypatch, tmp_path):
    scontrol(1)
    assert requeue(SLURM, signal.SIGUSR1) == (
        "the job is not queued again (exit 1: not yours): scontrol requeue 77, or the same command"
    )
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    sentence = requeue(SLURM, signal.SIGUSR1)
    assert sentence.startswith("the job is not queued again ([Errno 2] No such file or directory")
    for environment in ({}, {"SLURM_JOB_ID": "7; rm"}):
        assert "this is no Slurm job" in requeue(environment, signal.SIGUSR1)


@pytest.mark.parametrize(
    ("wanted", "code", "signals", "asked"),
    [
        (True, 143, [signal.SIGUSR1, signal.SIGTERM], True),
        (True, 143, [signal.SIGTERM, signal.SIGUSR1], False),
        (False, 143, [signal.SIGUSR1], False),
        (True, 0, [signal.SIGUSR1], False),
        (True, 1, [signal.SIGUSR1], False),
        (True, 130, [signal.SIGINT], False),
    ],
)
def test_only_a_stopped_command_that_wants_it_asks(
    scontrol, monkeypatch, capsys, wanted, code, signals, asked
):
    calls = scontrol()
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setattr("rlhf.runs.machine.cluster.noted", signals)
    assert queue_again(wanted, code) == code
    assert calls.exists() is asked
    assert capsys.readouterr().err == ("job 77 is queued again\n" if asked else "")

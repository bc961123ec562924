import signal

import pytest

from rlhf.config.schema import Trainer
from rlhf.runs.machine.cluster import queue_again, requeue, several, started


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
    """By the jobs of a sweep, of which each starts its own, and by a run on one device."""
    for trainer in (None, trainer_of(1)):
        sentence = several(environment, trainer)
        assert (sentence is None) if words is None else (words in sentence)
        assert sentence is None or ("trainer=ddp" in sentence) == (trainer is not None)


def trainer_of(devices, nodes=1):
    strategy = "single" if devices * nodes == 1 else "ddp"
    return Trainer(
        accelerator="cpu",
        precision="32-true",
        threads=1,
        strategy=strategy,
        devices=devices,
        num_nodes=nodes,
    )


def torchrun(rank, size, local, node):
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK")
    return dict(zip(names, map(str, (rank, size, local, node)), strict=True))


def srun(rank, size, local, node):
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NODEID")
    return dict(zip(names, map(str, (rank, size, local, node)), strict=True))


@pytest.mark.parametrize("starter", [torchrun, srun])
def test_processes_that_the_config_asks_for_are_taken_as_they_come(starter):
    """Process 5 of 8 on two machines of four devices is the second one's number 1."""
    environment, trainer = starter(5, 8, 1, 1), trainer_of(4, nodes=2)
    assert several(environment, trainer) is None
    place = started(environment, trainer)
    assert (place.rank, place.size, place.local_rank, place.node_rank) == (5, 8, 1, 1)
    assert started({}, trainer) is None


def test_torchrun_inside_a_step_of_slurm_has_the_last_word():
    both = srun(1, 2, 0, 1) | torchrun(3, 4, 1, 1)
    assert started(both, trainer_of(2, nodes=2)).rank == 3


@pytest.mark.parametrize(
    ("environment", "trainer", "words"),
    [
        (torchrun(0, 2, 0, 0), trainer_of(4), "asks for 4 processes, and there are 2 (RANK=0"),
        (srun(1, 4, 1, 0), trainer_of(2), "asks for 2 processes, and there are 4 (SLURM_PROCID=1"),
        # dealt out in turn: the second process is on the second machine
        (srun(1, 4, 0, 1), trainer_of(2, nodes=2), "process 1 (SLURM_PROCID=1"),
        ({}, trainer_of(2, nodes=2), "torchrun --nnodes"),
        ({"NODE_RANK": "2"}, trainer_of(1, nodes=2), "there are 2 (NODE_RANK=2)"),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, trainer_of(2), "start them by torchrun or srun"),
    ],
)
def test_processes_that_the_config_does_not_ask_for(environment, trainer, words):
    assert words in several(environment, trainer)


def test_a_run_on_one_machine_starts_its_own():
    assert several({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, trainer_of(2)) is None


def test_one_process_on_each_machine_may_be_started_by_hand():
    trainer = trainer_of(1, nodes=2)
    place = started({"NODE_RANK": "1"}, trainer)
    assert (place.rank, place.size, place.local_rank, place.node_rank) == (1, 2, 0, 1)
    assert several({"NODE_RANK": "1"}, trainer) is None


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

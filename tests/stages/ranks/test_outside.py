"""Ranks that torchrun, Slurm or the user started: where they meet, and whole runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf.callbacks.checkpoint import iteration_of
from rlhf.stages.ranks.outside import address
from tests.conftest import SMALL

TOGETHER = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.threads=1"]


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({"MASTER_ADDR": "b7", "MASTER_PORT": "29500"}, "b7", 29500),
        ({"SLURM_JOB_ID": "123456", "SLURM_STEP_NODELIST": "node[03-05,9]"}, "node03", 18456),
        ({"SLURM_JOB_ID": "7", "SLURM_NODELIST": "a,b"}, "a", 15007),
        ({"SLURM_JOB_ID": "7", "SLURM_NODELIST": "a,b", "MASTER_PORT": "1"}, "a", 1),
        ({"NODE_RANK": "0"}, "127.0.0.1", 12910),
    ],
)
def test_where_ranks_meet(environment, host, port):
    assert address(environment) == (host, port)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def by_slurm(rank, port):
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "MASTER_PORT": str(port),
    }


def by_hand(rank, port):
    return {"NODE_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def start(words, folder, environment, name):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "RANK"))}
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**inherited, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=(folder / f"{name}.out").open("w"),
        stderr=subprocess.STDOUT,
    )


def ends(processes):
    try:
        return [process.wait(240) for process in processes]
    finally:
        for process in processes:
            process.kill()


def metrics(folder):
    (path,) = folder.glob("outputs/*/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def policy(folder):
    (path,) = folder.glob("outputs/*/*/policy/model.safetensors")
    return load_file(path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, commands):
    """The folder of the same run by one process."""
    folder = tmp_path_factory.mktemp("alone")
    ended = commands.run(folder, SMALL)
    assert ended.code == 0, ended.text
    return folder


def as_alone(folder, alone):
    rows, expected = metrics(folder), metrics(alone)
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert row == pytest.approx(other, abs=1e-3, rel=1e-3, nan_ok=True)
    for name, weight in policy(alone).items():
        torch.testing.assert_close(policy(folder)[name], weight, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starter", "more"),
    [(by_slurm, []), (by_hand, ["trainer.devices=1", "trainer.num_nodes=2"])],
)
def test_two_processes_are_the_ranks_of_one_run(tmp_path, alone, starter, more):
    """Tasks of one step of Slurm, and one process on each of two machines, which here are one."""
    port, words = free_port(), ["rlhf", *SMALL, *TOGETHER, *more]
    processes = [start(words, tmp_path, starter(rank, port), str(rank)) for rank in (0, 1)]
    assert ends(processes) == [0, 0], (tmp_path / "0.out").read_text()
    assert (tmp_path / "1.out").read_text() == ""
    as_alone(tmp_path, alone)


@pytest.mark.slow
def test_torchrun_starts_the_ranks_of_a_run_in_parts(tmp_path, alone):
    words = ["torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    run = ["-m", "rlhf", *SMALL, "trainer=fsdp", *TOGETHER[1:], "trainer.precision=32-true"]
    code = ends([start([*words, *run], tmp_path, {}, "torchrun")])
    assert code == [0], (tmp_path / "torchrun.out").read_text()
    as_alone(tmp_path, alone)


@pytest.mark.slow
def test_slurm_signals_every_rank_and_all_stop_at_one_boundary(tmp_path):
    port, words = free_port(), ["rlhf", *SMALL, *TOGETHER, "ppo.iterations=5000"]
    processes = [start(words, tmp_path, by_slurm(rank, port), str(rank)) for rank in (0, 1)]
    end = time.monotonic() + 200
    while not [*tmp_path.glob("outputs/*/*/checkpoints/*.sha256")] and time.monotonic() < end:
        time.sleep(0.2)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    assert ends(processes) == [143, 143], (tmp_path / "0.out").read_text()
    assert "its state is saved" in (tmp_path / "0.out").read_text()
    assert (tmp_path / "1.out").read_text() == ""
    (checkpoint, *_) = sorted(tmp_path.glob("outputs/*/*/checkpoints/*.ckpt"), reverse=True)
    assert iteration_of(checkpoint) == metrics(tmp_path)[-1]["iteration"]


@pytest.mark.slow
def test_ranks_end_with_the_code_of_rank_0(tmp_path):
    """It refuses what the others do not look at, before anything is made."""
    port, words = free_port(), ["rlhf", *SMALL, *TOGETHER, "paths.outputs=/proc/none"]
    processes = [start(words, tmp_path, by_slurm(rank, port), str(rank)) for rank in (0, 1)]
    assert ends(processes) == [2, 2]
    assert "paths.outputs=/proc/none" in (tmp_path / "0.out").read_text()
    assert (tmp_path / "1.out").read_text() == ""
    assert {path.name for path in Path(tmp_path).iterdir()} == {"0.out", "1.out"}

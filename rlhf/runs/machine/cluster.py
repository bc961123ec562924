"""What a scheduler's or a starter's environment says of this process, and the one thing that Slurm
is asked for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from rlhf.config.schema import Trainer
from rlhf.ranks.place import Started
from rlhf.rundir.signals import YIELDING, exit_code_of, noted


@dataclass(frozen=True)
class Starter:
    """The variables in which a starter tells a process its number, how many there are, its number
    on its machine, and its machine's."""

    number: str
    count: str
    local: str = ""
    node: str = ""


TORCHRUN = Starter("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK")
# A shell of salloc and a batch script are one process, however many tasks their job may start.
SLURM = Starter("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_NODEID")
OTHERS = (
    Starter("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    Starter("PMI_RANK", "PMI_SIZE"),
)
WAITS = 60.0  # seconds for an answer of Slurm
STOPPED = exit_code_of(signal.SIGTERM)
T = TypeVar("T")


def started(environment: Mapping[str, str], trainer: Trainer) -> Started | None:
    """This process's place; None where it was started alone. Whether the config asks for the others
    is `several`'s matter."""
    for starter in (TORCHRUN, SLURM):
        if told := _several(environment, starter):
            rank, size = (_whole(environment.get(n)) for n in (starter.number, starter.count))
            local, node = (_whole(environment.get(n)) for n in (starter.local, starter.node))
            by_block = divmod(rank or 0, trainer.devices)
            return Started(
                rank=rank or 0,
                size=size or 0,
                local_rank=by_block[1] if local is None else local,
                node_rank=by_block[0] if node is None else node,
                told=told,
            )
    node = _whole(environment.get("NODE_RANK"))
    if node is None or trainer.num_nodes == 1:
        return None
    local = _whole(environment.get("LOCAL_RANK")) or 0
    return Started(
        rank=node * trainer.devices + local,
        size=trainer.ranks,
        local_rank=local,
        node_rank=node,
        told=f"NODE_RANK={node}",
    )


def several(environment: Mapping[str, str], trainer: Trainer | None) -> str | None:
    """Why this process must not go on: it was started as one of several that would do the same, or
    as one of others than the run's `trainer` asks for; None where it was not. `trainer` is None for
    the jobs of a sweep, of which each starts its own ranks."""
    if trainer is None or trainer.ranks == 1:
        told = next(
            filter(None, (_several(environment, s) for s in (TORCHRUN, SLURM, *OTHERS))), ""
        )
        if not told:
            return None
        one, more = ("rlhf -m", "") if trainer is None else ("rlhf", MORE)
        return (
            f"this is one of several processes ({told}), and {one} runs as one: start it without"
            f" torchrun or mpirun, under Slurm with --ntasks=1 (srun -n 1){more}"
        )
    place = started(environment, trainer)
    if place is None:
        if foreign := next(filter(None, (_several(environment, s) for s in OTHERS)), ""):
            return f"this is one of several processes ({foreign}): start them by torchrun or srun"
        return None if trainer.num_nodes == 1 else f"{_asked(trainer)}: {NODES}"
    return _misplaced(place, trainer)


MORE = "; or have them train together: trainer=ddp trainer.devices=N"
NODES = (
    "start a process for each device by torchrun --nnodes=... or srun (docs/how-to/devices.md), or"
    " one on each machine with NODE_RANK, MASTER_ADDR and MASTER_PORT set"
)


def _misplaced(place: Started, trainer: Trainer) -> str | None:
    asked = _asked(trainer)
    if place.size != trainer.ranks or place.rank >= place.size:
        return (
            f"{asked} asks for {trainer.ranks} processes, and there are {place.size}"
            f" ({place.told}): give both the same number"
        )
    if (place.node_rank, place.local_rank) != divmod(place.rank, trainer.devices):
        return (
            f"{asked}: process {place.rank} ({place.told}) is number {place.local_rank} on machine"
            f" {place.node_rank}; expected {trainer.devices} a machine, one machine after the other"
            " (srun --ntasks-per-node --distribution=block)"
        )
    return None


def _asked(trainer: Trainer) -> str:
    return f"trainer.devices={trainer.devices} trainer.num_nodes={trainer.num_nodes}"


def _several(environment: Mapping[str, str], starter: Starter) -> str:
    """`RANK=0, WORLD_SIZE=2` where the starter says that this is one of several, else empty."""
    rank, size = (_whole(environment.get(name)) for name in (starter.number, starter.count))
    if rank is None or (rank == 0 and (size or 1) == 1):
        return ""
    return f"{starter.number}={rank}" + (f", {starter.count}={size}" if size else "")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,9}", text) else None


def queue_again(wanted: bool, code: T) -> T:
    """Has Slurm queue the job again if that is wanted and a warning of its end stopped the command,
    whose exit code is returned as it is."""
    if wanted and code == STOPPED and noted and (sentence := requeue(os.environ, noted[0])):
        print(sentence, file=sys.stderr, flush=True)
    return code


def requeue(environment: Mapping[str, str], number: int) -> str:
    """Asks Slurm, once, to queue this job again, if the signal that stopped it was a warning of its
    end (SIGUSR1, SIGUSR2, or the alarm of the run's own time limit). Returns a sentence on what
    came of it, empty if it was not asked: scancel sends SIGTERM, and jobs that Slurm preempts it
    requeues itself.

    Slurm ends the job while it answers: everything must be saved by now.
    """
    if number not in (getattr(signal, name, None) for name in YIELDING):
        return ""
    job = environment.get("SLURM_JOB_ID", "")
    if array := environment.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '')}"
    if not re.fullmatch(r"\d+(_\d+)?", job):
        return "requeue=true: this is no Slurm job (SLURM_JOB_ID); give the same command again"
    again = f"the job is not queued again ({{}}): scontrol requeue {job}, or the same command"
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=WAITS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return again.format(error)
    if done.returncode:
        return again.format(f"exit {done.returncode}: {' '.join(done.stderr.split())}")
    return f"job {job} is queued again"

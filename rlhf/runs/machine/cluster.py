"""What a scheduler's or a starter's environment says of this process, and the one thing that Slurm
is asked for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TypeVar

from rlhf.rundir.signals import YIELDING, exit_code_of, noted

# (this process's number, how many there are): torchrun's, a Slurm step's, MPI's. A shell of salloc
# and a batch script are one process, however many tasks their job may start.
STARTERS = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
)
WAITS = 60.0  # seconds for an answer of Slurm
STOPPED = exit_code_of(signal.SIGTERM)
T = TypeVar("T")


def several(environment: Mapping[str, str]) -> str | None:
    """Why this process must not go on: it was started as one of several that would do the same;
    None where it was not."""
    for number, count in STARTERS:
        rank, size = (_whole(environment.get(name)) for name in (number, count))
        if rank is not None and (rank > 0 or (size or 1) > 1):
            among = f", {count}={size}" if size else ""
            return (
                f"this is one of several processes ({number}={rank}{among}), and rlhf runs as one:"
                " start it without torchrun or mpirun, under Slurm with --ntasks=1 (srun -n 1)"
            )
    return None


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

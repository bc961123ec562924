"""What this machine has: memory, GPUs, arithmetic. Asks files and small programs, not torch."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rlhf.rundir.words import plural

CGROUP = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # bytes: what version 1 writes where there is no limit is about 2^63
PATIENCE = 10.0  # seconds that a program has to answer


@dataclass(frozen=True, kw_only=True)
class GPU:
    name: str
    memory: int  # bytes


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What networks may fill, in bytes; None: not known."""

    memory: int | None
    gpu_memory: int | None  # of the smallest GPU


def this_machine() -> Machine:
    return Machine(memory=memory(), gpu_memory=min((gpu.memory for gpu in gpus()), default=None))


def memory() -> int | None:
    """The bytes that a process may have: the machine's, or less where its control group says so.
    None: it does not tell."""
    limits = [*control_groups(CGROUP), *_installed()]
    return min(limits) if limits else None


def _installed() -> list[int]:
    with suppress(AttributeError, ValueError, OSError):
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return []


def control_groups(root: Path, process: Path = Path("/proc/self/cgroup")) -> list[int]:
    """The limits of this process's control group and those above it, of version 2 and 1."""
    files = [root / "memory.max", root / "memory" / "memory.limit_in_bytes"]
    with suppress(OSError):
        for line in process.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            base = root if not kinds else root / "memory"
            name = "memory.max" if not kinds else "memory.limit_in_bytes"
            if kinds in ("", "memory"):
                own = base / path.lstrip("/")
                files += [p / name for p in (own, *own.parents) if p.is_relative_to(base)]
    limits = []
    for file in dict.fromkeys(files):
        with suppress(OSError, ValueError):  # "max" is no number
            limits.append(int(file.read_text()))
    return [limit for limit in limits if limit < UNLIMITED]


def available() -> int | None:
    """The bytes of memory that are free now, or could be freed."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    return None


@cache
def gpus() -> tuple[GPU, ...]:
    """NVIDIA's, as their driver's program tells; none where it is not there."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        rows = [line.rpartition(",") for line in run.stdout.splitlines() if line.strip()]
        return tuple(GPU(name=name.strip(), memory=int(mb) * 2**20) for name, _, mb in rows)
    return ()


def gpu_count() -> int:
    """The GPUs that a run here may use. Asked once torch is known to see one."""
    import torch

    return torch.cuda.device_count()


def gpu_count_fault(asked: int, there: int) -> str | None:
    if asked <= there:
        return None
    return f"trainer.devices={asked}: this machine has {plural(there, 'GPU')} that a run may use"


PROGRAM = """
import time
import numpy
a = numpy.ones((1024, 1024), dtype="float32")
a @ a
best, end = 1e9, time.perf_counter() + 0.4
while (start := time.perf_counter()) < end:
    a @ a
    best = min(best, time.perf_counter() - start)
print(2 * 1024**3 / best)
"""


@cache
def rate(threads: int) -> float | None:
    """Operations a second of the best of some products of 1024 x 1024 matrices of 32 bits, by so
    many threads; in a process of its own, as threads cannot be taken back. None: numpy failed."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = {**os.environ, **dict.fromkeys(names, str(threads))}
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            env=environment,
        )
        return float(run.stdout)
    return None

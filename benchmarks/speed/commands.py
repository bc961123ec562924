"""What a command of the product costs, all of its processes."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.speed.children import environment

_ADOPTS = 36  # PR_SET_CHILD_SUBREAPER


class Cost(NamedTuple):
    cpu: float  # seconds of all processes
    wall: float


def cost_of(words: Sequence[str], folder: Path) -> Cost:
    """Runs `rlhf` with the words in a folder, which is made where it is not there.

    Raises:
        SystemExit: it failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    others = {child.pid for child in _children()}
    with _adopting(), log.open("wb") as out:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        code = subprocess.run(
            [sys.executable, "-m", "rlhf", *words],
            cwd=folder,
            stdout=out,
            stderr=out,
            env=environment(),
            check=False,
        ).returncode
        wall = time.monotonic() - began
        while orphans := [child.pid for child in _children() if child.pid not in others]:
            os.waitpid(orphans[0], 0)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code:
        raise SystemExit(f"rlhf {' '.join(words)}: exit code {code}\n{log.read_text()[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall)


@contextmanager
def _adopting() -> Iterator[None]:
    """Orphans of our children become ours. Only here: nobody else would wait for them."""
    if ctypes.CDLL(None).prctl(_ADOPTS, 1, 0, 0, 0):
        raise SystemExit("this system does not let a process wait for its grandchildren")
    try:
        yield
    finally:
        ctypes.CDLL(None).prctl(_ADOPTS, 0, 0, 0, 0)


def _children() -> list[psutil.Process]:
    return psutil.Process().children()

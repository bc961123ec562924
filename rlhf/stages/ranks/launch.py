"""Starts a run's other ranks on this machine and ends them: processes of their own, which get the
config through a pipe. Never by the command line of this one: `-m` would be read again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import IO, Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from rlhf.config.schema import Config
from rlhf.rundir.signals import STOPPING
from rlhf.rundir.words import seconds_of
from rlhf.stages.ranks.meeting import Meeting, Place, Task
from rlhf.stages.ranks.team import Leader, Team, met

HOST = "127.0.0.1"
MODULE = "rlhf.stages.ranks.worker"
LEAVES = 2.0  # seconds that a rank has to end by itself
LINES = 5  # of what a dead rank printed last


def team_of(cfg: Config) -> Team:
    """The ranks of a run; none is started yet, unless somebody else did."""
    if cfg.trainer.ranks == 1:
        return Team()
    return Leader(met[-1]) if met else Launched(cfg)


def place_of(cfg: Config, rank: int) -> Place:
    """The place of a rank of this machine."""
    return Place(
        rank=rank,
        size=cfg.trainer.ranks,
        local_rank=rank,
        accelerator=cfg.trainer.accelerator,
        seconds=seconds_of(cfg.trainer.timeout) or 0.0,
    )


def store_of(place: Place, port: int) -> Any:
    """The store of a run's ranks. Rank 0 offers it, at any port that is free."""
    wait = timedelta(seconds=place.seconds)
    return TCPStore(HOST, port, is_master=place.rank == 0, wait_for_workers=False, timeout=wait)


class Launched(Leader):
    """Rank 0, and the processes that it starts when there is something to train."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.outputs: dict[int, IO[bytes]] = {}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def ask(self, task: Task) -> None:
        if not self.processes:
            place = place_of(self.cfg, 0)
            store = store_of(place, 0)
            super().__init__(Meeting(store, place))
            for rank in range(1, place.size):
                self._start(rank, {"config": self.cfg.plain(), "port": store.port})
        super().ask(task)

    def _start(self, rank: int, content: Mapping[str, Any]) -> None:
        output = tempfile.TemporaryFile()  # noqa: SIM115
        with _signals_wait():
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(rank)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.outputs[rank], self.processes[rank] = output, process
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, which `dead` tells
            process.stdin.write(json.dumps(dict(content)).encode() + b"\n")
            process.stdin.flush()

    def dead(self, rank: int) -> str | None:
        code = self.processes[rank].poll()
        if code is None:
            return None
        if code < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        self.outputs[rank].seek(0)
        lines = self.outputs[rank].read().decode(errors="replace").strip().splitlines()
        last = "\n  ".join(lines[-LINES:])
        return f"ended with exit code {code}" + (f" ({last})" if last else "")

    def close(self) -> None:
        """Every rank has ended when this returns."""
        if not self.processes:
            return
        with suppress(Exception):
            super().close()
        for process in self.processes.values():
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()  # which tells it to leave
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(LEAVES)
            process.kill()
            process.wait()
        for output in self.outputs.values():
            output.close()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """A process that is started inside begins with signals that wait: it shall ignore them, and
    cannot before it has been loaded."""
    numbers = {getattr(signal, name) for name in STOPPING if hasattr(signal, name)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

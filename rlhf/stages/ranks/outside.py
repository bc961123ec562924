"""Ranks that torchrun, Slurm or the user started: they are taken as they come. Rank 0 is the run;
the others train what it asks for, and end as it does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count
from types import FrameType
from typing import Any

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore

from rlhf.config.schema import Config
from rlhf.ranks.place import Started
from rlhf.rundir.errors import Stopped
from rlhf.rundir.signals import STOPPING, exit_code_of, handled
from rlhf.rundir.words import seconds_of
from rlhf.stages.ranks.meeting import POLL, Meeting, Place, Task
from rlhf.stages.ranks.team import Leader, met
from rlhf.stages.ranks.worker import serve

LEAVES = 10.0  # seconds in which the others take note of the end
PORTS = 15000  # Slurm's jobs meet at the port above it by their number's last four digits
_runs = count()  # in one process there may be several, one after the other


class Follower(Meeting):
    """A signal ends a rank that waits for work at once; while it trains, rank 0 decides."""

    def task(self, number: int) -> Task | None:
        with handled(STOPPING, _leave):
            return super().task(number)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(exit_code_of(number))


@contextmanager
def leading(cfg: Config, place: Started, code: Callable[[], int]) -> Iterator[None]:
    """Rank 0's run: the others wait for what it asks until this is left, and end with `code`."""
    if met:  # it is led already
        yield
        return
    meeting = Meeting(_store(cfg, place), _place(cfg, place))
    met.append(meeting)
    try:
        yield
    finally:
        met.clear()
        _end(meeting, code())


def _end(meeting: Meeting, code: int) -> None:
    """Tells the others. The store may be this process's: it stays until they know."""
    Leader(meeting).close()  # for those that have not been asked for anything
    meeting.store.set("end", str(code))
    left = [f"left/{rank}" for rank in range(1, meeting.place.size)]
    end = time.monotonic() + LEAVES
    while time.monotonic() < end and not all(meeting.store.check([name]) for name in left):
        time.sleep(POLL)


def follow(cfg: Config, place: Started) -> int:
    """Another rank's run: its exit code, which is rank 0's; 1 where that is gone without a word.
    Rank 0 gets the signals, too, and decides."""
    with handled(STOPPING, _nothing):
        try:
            meeting = Follower(_store(cfg, place), _place(cfg, place))
            with suppress(Stopped):  # with rank 0, which says so
                serve(cfg, meeting)
            code = int(meeting.store.get("end"))
        except (DistError, RuntimeError):
            return 1
        with suppress(DistError, RuntimeError):
            meeting.store.set(f"left/{place.rank}", "")
        return code


def _place(cfg: Config, place: Started) -> Place:
    return Place(
        rank=place.rank,
        size=place.size,
        local_rank=place.local_rank,
        node_rank=place.node_rank,
        accelerator=cfg.trainer.accelerator,
        seconds=seconds_of(cfg.trainer.timeout) or 0.0,
    )


def _store(cfg: Config, place: Started) -> Any:
    """A store for one run of all ranks."""
    wait = seconds_of(cfg.trainer.timeout) or 0.0
    return PrefixStore(f"rlhf/{next(_runs)}", _offered(place.rank == 0, wait))


@cache
def _offered(first: bool, seconds: float) -> Any:
    """The store that all ranks reach. Rank 0 offers it, unless torchrun's agent does."""
    host, port = address(os.environ)
    agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store: Any = TCPStore(
        host,
        port,
        is_master=first and not agents,
        wait_for_workers=False,
        timeout=timedelta(seconds=seconds),
    )
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return PrefixStore(f"attempt/{attempt}", store)


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """Host and port where the ranks meet: MASTER_ADDR and MASTER_PORT; under Slurm else its first
    node, and a port by the job's number, as Lightning has them."""
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST")
    host = SLURMEnvironment.resolve_root_node_address(nodes) if nodes else "127.0.0.1"
    job = environment.get("SLURM_JOB_ID", "")
    port = PORTS + int(job[-4:]) if job[-4:].isdigit() else 12910
    return environment.get("MASTER_ADDR", host), int(environment.get("MASTER_PORT", port))

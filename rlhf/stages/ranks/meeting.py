"""Where ranks meet: the store that rank 0 offers, the stages that it asks the others to train, the
process group of one fit, and what went wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore

from rlhf.ranks.group import Ranks

POLL = 0.05  # seconds between looks at what is not there yet


@dataclass(frozen=True, kw_only=True)
class Place:
    """A rank's place: `local_rank` is the number of its device on its machine."""

    rank: int
    size: int
    local_rank: int
    node_rank: int = 0
    accelerator: str = "cpu"
    seconds: float = 1800.0  # after which a rank that does not answer ends the run

    @property
    def device(self) -> str:
        return f"cuda:{self.local_rank}" if self.accelerator == "cuda" else "cpu"

    @property
    def ranks(self) -> Ranks:
        return Ranks(rank=self.rank, size=self.size, device=self.device)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A stage to train: all that a rank needs beside the config to make the same module."""

    stage: str
    directory: str
    parents: Mapping[str, str]  # the artifacts of the stages that it stands on
    members: tuple[str, ...]  # the further reward models of an ensemble
    reward_seed: int  # the reward model's, which differs from the config's for a member
    data: str  # the fingerprint of rank 0's data

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Task | None:
        """None: there is nothing left to do."""
        content = json.loads(text)
        return content and cls(**{**content, "members": tuple(content["members"])})


class Meeting:
    """The store as ranks use it: tasks by their number, and for each task and rank that it is
    ready, or why it failed."""

    def __init__(self, store: Any, place: Place) -> None:
        self.store, self.place = store, place

    def ask(self, number: int, task: Task | None) -> None:
        self.store.set(f"task/{number}", "null" if task is None else task.as_json())

    def task(self, number: int) -> Task | None:
        """Waits, however long rank 0 does something else."""
        while not self.store.check([f"task/{number}"]):
            time.sleep(POLL)
        return Task.of(self.store.get(f"task/{number}").decode())

    def ready(self, number: int) -> None:
        self.store.set(f"ready/{number}/{self.place.rank}", "")

    def is_ready(self, number: int, rank: int) -> bool:
        return bool(self.store.check([f"ready/{number}/{rank}"]))

    def report(self, failure: Mapping[str, Any]) -> None:
        self.store.set(f"failure/{self.place.rank}", json.dumps(dict(failure)))

    def failures(self) -> dict[int, dict[str, Any]]:
        """What ranks reported until now."""
        names = {rank: f"failure/{rank}" for rank in range(1, self.place.size)}
        return {
            rank: json.loads(self.store.get(name))
            for rank, name in names.items()
            if self.store.check([name])
        }

    @contextmanager
    def group(self, number: int) -> Iterator[Ranks]:
        """The process group of one task, while it lasts."""
        place = self.place
        cuda = place.accelerator == "cuda"
        if cuda:
            torch.cuda.set_device(place.local_rank)
        dist.init_process_group(
            "nccl" if cuda else "gloo",
            store=PrefixStore(f"group/{number}", self.store),
            rank=place.rank,
            world_size=place.size,
            timeout=timedelta(seconds=place.seconds),
            device_id=torch.device(place.device) if cuda else None,
        )
        try:
            yield place.ranks
        finally:
            dist.destroy_process_group()

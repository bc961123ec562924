"""A rank's place among the processes that train together, and what they tell each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rlhf.rundir.errors import RunFailed

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """`rank` of `size` processes. Rank 0 is the run's own process: it alone writes files and
    speaks. Row i of a batch is rank i mod `size`'s.

    All ranks must make the same calls in the same order. Of one process each gives what it got.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"  # where the backend wants tensors

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        return self.rank, self.size

    def own(self, count: int) -> Tensor:
        """The rows of this rank among `count`."""
        return torch.arange(self.rank, count, self.size)

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over the ranks, in 64 bits and in their order."""
        total: list[float] = self._of_all(numbers).sum(0).tolist()
        return total

    def largest(self, numbers: Sequence[float]) -> list[float]:
        """The largest of each number over the ranks; NaN where one has NaN."""
        top: list[float] = self._of_all(numbers).amax(0).tolist()
        return top

    def _of_all(self, numbers: Sequence[float]) -> Tensor:
        """[size, N]"""
        mine = torch.tensor(list(numbers), dtype=torch.float64, device=self.device)
        if self.size == 1:
            return mine[None]
        every = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(every, mine)
        return torch.stack(every)

    def gather(self, mine: T) -> list[T]:
        """What each rank gave, by rank. Tensors must lie on the CPU."""
        if self.size == 1:
            return [mine]
        every: list[Any] = [None] * self.size
        dist.all_gather_object(every, mine)
        return every

    def from_first(self, value: Callable[[], T]) -> T:
        """What `value` gives on rank 0, on every rank."""
        if self.size == 1:
            return value()
        box: list[Any] = [value() if self.leads else None]
        dist.broadcast_object_list(box, src=0)
        result: T = box[0]
        return result

    def any(self, mine: bool) -> bool:
        """True on every rank where it is on one."""
        return self.largest([float(mine)])[0] > 0

    def differing(self, values: Mapping[str, Any]) -> list[str]:
        """The names whose values are not the same on all ranks."""
        every = self.gather(dict(values))
        return [name for name in values if any(each[name] != every[0][name] for each in every)]

    def check_same(self, values: Mapping[str, Any], where: str) -> None:
        """Raises RunFailed where ranks that should agree do not: what they train would no longer be
        one model."""
        if differing := self.differing({name: repr(value) for name, value in values.items()}):
            raise RunFailed(f"{where}: the ranks have not the same {', '.join(differing)}")


ALONE = Ranks()

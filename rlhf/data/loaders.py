"""Batches in an order that depends on (seed, stage, epoch) alone: a resumed epoch is the same
epoch, with no sampler state to save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

import torch

from rlhf.randomness import generator
from rlhf.types import Batch

Row = TypeVar("Row")
Out = TypeVar("Out", bound=Batch)


class ShuffledBatches(Generic[Row, Out]):
    """All rows once an epoch, in the order of that epoch's own permutation; the last batch may be
    smaller.

    `epoch` is asked at each pass: the module that trains counts, because Lightning's own count is
    one behind after a resume.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        size: int,
        collate: Callable[[Sequence[Row]], Out],
        *,
        seed: int,
        stage: str,
        epoch: Callable[[], int],
    ) -> None:
        if not rows:
            raise ValueError(f"{stage}: no rows to train on")
        self.rows, self.size, self.collate = rows, size, collate
        self.seed, self.stage, self.epoch = seed, stage, epoch

    def __len__(self) -> int:
        return -(-len(self.rows) // self.size)

    def __iter__(self) -> Iterator[Out]:
        order = torch.randperm(
            len(self.rows), generator=generator(self.seed, self.stage, "order", self.epoch())
        ).tolist()
        yield from in_order([self.rows[i] for i in order], self.size, self.collate)


def in_order(
    rows: Sequence[Row], size: int, collate: Callable[[Sequence[Row]], Out]
) -> Iterator[Out]:
    """The batches of all rows, always the same; the last one may be smaller."""
    for start in range(0, len(rows), size):
        yield collate(rows[start : start + size])


def draw_prompts(prompts: Sequence[Row], count: int, seed: int, iteration: int) -> list[Row]:
    """`count` prompts for rollout `iteration` >= 1: passes over permutations of all prompts,
    continued from rollout to rollout."""
    first = (iteration - 1) * count
    drawn: list[Row] = []
    while len(drawn) < count:
        epoch, offset = divmod(first + len(drawn), len(prompts))
        order = torch.randperm(
            len(prompts), generator=generator(seed, "ppo", "prompts", epoch)
        ).tolist()
        drawn += [prompts[i] for i in order[offset : offset + count - len(drawn)]]
    return drawn

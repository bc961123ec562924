"""Batches in an order that depends on (seed, stage, epoch) alone: a resumed epoch is the same
epoch, with no sampler state to save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch

from rlhf.at_once import AtOnce, micro_batches
from rlhf.randomness import generator
from rlhf.ranks.group import ALONE, Ranks
from rlhf.types import Batch, SupervisedBatch

Row = TypeVar("Row")
Out = TypeVar("Out", bound=Batch)
Part = TypeVar("Part", bound=SupervisedBatch)


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

    def steps(self) -> list[Sequence[Row]]:
        """The rows of each batch of an epoch."""
        order = torch.randperm(
            len(self.rows), generator=generator(self.seed, self.stage, "order", self.epoch())
        ).tolist()
        rows = [self.rows[i] for i in order]
        return [rows[start : start + self.size] for start in range(0, len(rows), self.size)]

    def __iter__(self) -> Iterator[Out]:
        yield from map(self.collate, self.steps())


class MicroBatches(Generic[Row, Part]):
    """The same batches in parts of about equally many tokens: as many of each batch in an epoch, so
    that a loop may count them, but for the last one, which may have fewer. `began` hears how many
    at the start of an epoch.

    It has no length: where tokens are counted, an epoch has as many as its batches need.

    Args:
        tokens: of a row, without padding.
        ranks: those that train together: each has the parts of its own rows, as many as the others.
    """

    def __init__(
        self,
        batches: ShuffledBatches[Row, Part],
        at_once: AtOnce,
        *,
        tokens: Callable[[Row], int],
        began: Callable[[int], None],
        ranks: Callable[[], Ranks] = lambda: ALONE,
    ) -> None:
        self.batches, self.at_once, self.tokens, self.began = batches, at_once, tokens, began
        self.ranks = ranks

    def __iter__(self) -> Iterator[Part]:
        ranks, collate = self.ranks(), self.batches.collate
        steps = self.batches.steps()
        tokens = [[*map(self.tokens, rows)] for rows in steps]
        # rows may have been sampled, by each rank for itself
        if ranks.size > 1:
            ranks.check_same({"rows": [*map(sum, tokens)]}, self.batches.stage)
        every = micro_batches(tokens, self.at_once, ranks.size)
        splits = len(every[0]) // ranks.size
        every[-1:] = micro_batches(tokens[-1:], self.at_once, ranks.size)
        self.began(splits)
        for rows, groups in zip(steps, every, strict=True):
            own = [[rows[place] for place in group] for group in groups[ranks.rank :: ranks.size]]
            # a rank without a row of its own takes part in the forward pass all the same
            parts = [
                collate(part) if part else replace(collate(rows[:1]), counts=False) for part in own
            ]
            alone = ranks.size == 1
            count = sum(part.counted for part in parts) if alone else collate(rows).counted
            for part in parts:
                yield replace(part, step_count=count, splits=splits)


def packs(
    rows: Sequence[Row],
    collate: Callable[[Sequence[Row]], Out],
    *,
    at_once: AtOnce,
    tokens: Callable[[Row], int],
) -> Iterator[Out]:
    """All rows once, always in the same batches: the longest first, of at most so many rows, and
    tokens without padding."""
    for group in at_once.cut([*map(tokens, rows)]):
        yield collate([rows[place] for place in group])


def draw_prompts(
    prompts: Sequence[Row],
    count: int,
    seed: int,
    iteration: int,
    *,
    each: int = 1,
    purpose: str = "prompts",
) -> list[Row]:
    """The prompts of `count` responses in rollout `iteration` >= 1, `each` in a row to the same
    one: passes over permutations of all prompts, continued from rollout to rollout. `purpose`: of
    other rows that are drawn so their own permutations."""
    if each > 1:
        distinct = draw_prompts(prompts, count // each, seed, iteration, purpose=purpose)
        return [prompt for prompt in distinct for _ in range(each)]
    first = (iteration - 1) * count
    drawn: list[Row] = []
    while len(drawn) < count:
        epoch, offset = divmod(first + len(drawn), len(prompts))
        order = torch.randperm(
            len(prompts), generator=generator(seed, "ppo", purpose, epoch)
        ).tolist()
        drawn += [prompts[i] for i in order[offset : offset + count - len(drawn)]]
    return drawn

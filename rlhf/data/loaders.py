"""Batches in an order that depends on (seed, stage, epoch) alone: a resumed epoch is the same
epoch, with no sampler state to save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch

from rlhf.randomness import generator
from rlhf.ranks.group import ALONE, Ranks
from rlhf.types import AtOnce, Batch, SupervisedBatch

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
    """The same batches in parts: as many of each batch in an epoch, so that a loop may count them,
    but for the last one, which may be smaller. `began` hears how many at the start of an epoch.

    It has no length: where tokens are counted, an epoch has as many as its batches need.

    Args:
        tokens: of some rows together, padding counted.
        ranks: those that train together: each has the parts of its own rows, as many as the others.
    """

    def __init__(
        self,
        batches: ShuffledBatches[Row, Part],
        at_once: AtOnce,
        *,
        tokens: Callable[[Sequence[Row]], int],
        began: Callable[[int], None],
        ranks: Callable[[], Ranks] = lambda: ALONE,
    ) -> None:
        self.batches, self.at_once, self.tokens, self.began = batches, at_once, tokens, began
        self.ranks = ranks

    def __iter__(self) -> Iterator[Part]:
        ranks, collate = self.ranks(), self.batches.collate
        steps = self.batches.steps()
        # rows may have been sampled, by each rank for itself
        if ranks.size > 1:
            ranks.check_same({"rows": [*map(self.tokens, steps)]}, self.batches.stage)
        shares = [self._shares(rows, ranks.size) for rows in steps]
        splits = max(len(parts) for every in shares for parts in every)
        self.began(splits)
        for rows, every in zip(steps, shares, strict=True):
            wanted = splits if rows is not steps[-1] else max(map(len, every))
            made = [collate(part) for part in into(wanted, every[ranks.rank])]
            alone = ranks.size == 1
            count = sum(part.counted for part in made) if alone else collate(rows).counted
            # a rank without a row of its own takes part in the forward pass all the same
            made += [replace(collate(rows[:1]), counts=False)] * (
                0 if alone else wanted - len(made)
            )
            for part in made:
                yield replace(part, step_count=count, splits=splits)

    def _shares(self, rows: Sequence[Row], ranks: int) -> list[list[Sequence[Row]]]:
        """For each rank the parts of its rows of a batch; none where it has no row."""
        own = (rows[rank::ranks] for rank in range(ranks))
        return [parts_of(each, self.at_once, self.tokens) if each else [] for each in own]


def parts_of(
    rows: Sequence[Row], at_once: AtOnce, tokens: Callable[[Sequence[Row]], int]
) -> list[Sequence[Row]]:
    """The rows in parts that go through a network at once: as even as they can be, or where tokens
    are counted the longest rows first, so that a part is padded little."""
    if at_once.tokens is None:
        count = -(-len(rows) // at_once.of(len(rows), 1))
        return [rows[len(rows) * i // count : len(rows) * (i + 1) // count] for i in range(count)]
    parts: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: tokens([row]), reverse=True):
        longer = [*parts[-1], row] if parts else []
        fits = longer and tokens(longer) <= at_once.tokens
        if fits and (at_once.rows is None or len(longer) <= at_once.rows):
            parts[-1] = longer
        else:
            parts.append([row])
    return [*parts]


def into(count: int, parts: Sequence[Sequence[Row]]) -> list[Sequence[Row]]:
    """The parts, those of the most rows halved until there are `count`: a part has one row at
    least."""
    made = [*parts]
    while made and len(made) < count and len(largest := max(made, key=len)) > 1:
        at, half = made.index(largest), len(largest) // 2
        made[at : at + 1] = [largest[:half], largest[half:]]
    return made


def in_order(
    rows: Sequence[Row],
    size: int,
    collate: Callable[[Sequence[Row]], Out],
    *,
    at_once: AtOnce = AtOnce(),  # noqa: B008 (it is frozen)
    tokens: Callable[[Sequence[Row]], int] = len,
) -> Iterator[Out]:
    """The batches of all rows, always the same, and each in parts where they are limited; the last
    one may be smaller."""
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        yield from map(collate, parts_of(batch, at_once, tokens) if at_once.limits else [batch])


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

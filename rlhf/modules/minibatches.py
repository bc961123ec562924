"""The optimizer steps of an iteration, each cut into micro-batches of about equally many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

import torch
from torch import Tensor

from rlhf.types import AtOnce, Experience, Minibatch


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimizer step: its rows, and the places in them that each micro-batch has."""

    epoch: int  # the pass over the rollout that it is of
    rows: Tensor  # [N] long
    pieces: list[list[int]]  # of all ranks
    ranks: int = 1

    @property
    def splits(self) -> int:
        """Micro-batches of one rank."""
        return len(self.pieces) // self.ranks

    def minibatches(self, experience: Experience, rank: int = 0) -> Iterator[Minibatch]:
        """The micro-batches of a rank. The totals of the whole step stand in each, so the loss is
        the same for every split."""
        tokens = int(experience.mask[self.rows.to(experience.mask.device)].sum())
        for piece in self.pieces[rank :: self.ranks]:
            yield Minibatch(
                experience=experience.rows(self.rows[piece]) if piece else experience.nothing(),
                step_tokens=tokens,
                step_sequences=len(self.rows),
                splits=self.splits,
                epoch=self.epoch,
            )


def steps_of(
    experience: Experience,
    draws: Sequence[torch.Generator],
    size: int,
    at_once: AtOnce,
    ranks: int = 1,
) -> list[Step]:
    """The steps of an iteration, of at most `size` rows each, on all ranks together.

    All have the same number of micro-batches, as a loop counts them and ranks wait for each other:
    the fewest with which the largest keeps to `at_once`, one row at least. Where rows are missing
    (a response was left out), the steps of a pass share them evenly, and a micro-batch may have
    none.

    Args:
        draws: the random numbers of each pass over the rollout.
    """
    lengths, number = experience.rollout.attention.sum(1).cpu(), len(experience)
    rows = [
        (epoch, part)
        for epoch, generator in enumerate(draws)
        for part in torch.randperm(number, generator=generator).tensor_split(-(-number // size))
    ]
    tokens: list[list[int]] = [lengths[part].tolist() for _, part in rows]
    for splits in count(max(-(-_fewest(each, at_once) // ranks) for each in tokens)):
        pieces = [balanced(each, splits * ranks, at_once.rows) for each in tokens]
        if all(map(_fit, pieces, tokens, [at_once.tokens] * len(rows))):
            break
    return [
        Step(epoch=epoch, rows=part, pieces=cut, ranks=ranks)
        for (epoch, part), cut in zip(rows, pieces, strict=True)
    ]


def balanced(tokens: Sequence[int], groups: int, rows: int | None = None) -> list[list[int]]:
    """Rows of so many tokens each in groups of about equally many: the longest first, each to the
    group with the fewest (Graham 1969), of at most `rows` rows. The places of each group in
    order."""
    made: list[list[int]] = [[] for _ in range(groups)]
    lightest = [(0, group) for group in range(groups)]
    for row in sorted(range(len(tokens)), key=lambda row: -tokens[row]):
        load, group = heappop(lightest)
        made[group].append(row)
        if rows is None or len(made[group]) < rows:
            heappush(lightest, (load + tokens[row], group))
    return [sorted(group) for group in made]


def _fewest(tokens: Sequence[int], at_once: AtOnce) -> int:
    """Groups that the limits leave at the least."""
    by_rows = 1 if at_once.rows is None else -(-len(tokens) // at_once.rows)
    by_tokens = 1 if at_once.tokens is None else -(-sum(tokens) // at_once.tokens)
    return min(max(by_rows, by_tokens), len(tokens))


def _fit(pieces: Sequence[Sequence[int]], tokens: Sequence[int], most: int | None) -> bool:
    return most is None or all(
        len(piece) <= 1 or sum(tokens[row] for row in piece) <= most for piece in pieces
    )

"""The optimizer steps of an iteration, each cut into micro-batches of about equally many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf.at_once import AtOnce, micro_batches
from rlhf.types import Experience, Minibatch


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
    pieces = micro_batches(tokens, at_once, ranks)
    return [
        Step(epoch=epoch, rows=part, pieces=cut, ranks=ranks)
        for (epoch, part), cut in zip(rows, pieces, strict=True)
    ]

"""An experience cut into the rows of one optimizer step, and these into what fits one forward
pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rlhf.types import Experience, Minibatch


def minibatches(
    experience: Experience, size: int, micro_size: int | None, generator: torch.Generator
) -> Iterator[list[Minibatch]]:
    """One pass over all rows in random order: for each optimizer step the list of its
    micro-batches.

    The totals of the whole step stand in each micro-batch, so the loss is the same for every
    `micro_size`.
    """
    order = torch.randperm(len(experience), generator=generator)
    for rows in order.split(size):
        step = experience.rows(rows)
        pieces = torch.arange(len(rows)).split(micro_size or size)
        tokens = int(step.mask.sum())
        yield [
            Minibatch(
                experience=step.rows(piece),
                step_tokens=tokens,
                step_sequences=len(rows),
                splits=len(pieces),
            )
            for piece in pieces
        ]

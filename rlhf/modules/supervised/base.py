"""The base of the modules that learn from labelled rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from rlhf.modules.base import Metrics, StageModule, with_initial_lr
from rlhf.types import SupervisedBatch

MakeOptimizer = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


class SupervisedModule(StageModule):
    """One pass over labelled rows an iteration. A subclass gives `training_step`, which logs its
    loss, and `evaluate`, over the batches of `heldout`."""

    unit = "epoch"

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        make_optimizer: MakeOptimizer,
        heldout: Callable[[], Iterable[Any]],
        epochs: int,
        lr_schedule: str = "constant",
        lr_warmup: float = 0.0,
        steps: int | None = None,
    ) -> None:
        """`steps`: optimizer steps an epoch, where the loader has no length."""
        super().__init__(iterations=epochs, lr_schedule=lr_schedule, lr_warmup=lr_warmup)
        self.model, self.make_optimizer, self.heldout = model, make_optimizer, heldout
        self.steps = steps

    def steps_an_iteration(self) -> int:
        return super().steps_an_iteration() if self.steps is None else self.steps

    def share(self, mean: torch.Tensor, batch: SupervisedBatch) -> torch.Tensor:
        """The loss that a loop descends: the batch's mean, or of a micro-batch its part in the mean
        of its whole step."""
        if batch.step_count is None:
            return mean
        part = batch.counted / max(batch.step_count, 1)
        return mean * part * batch.splits * self.ranks.size  # of which gradients are the mean

    def own_heldout(self) -> Iterator[tuple[Any, bool]]:
        """This rank's batches of the held-out rows, every `ranks.size`-th, on its device; as many
        on each rank, so the last may be one that does not count."""
        rank, size, index = self.ranks.rank, self.ranks.size, 0
        for index, batch in enumerate(self.heldout(), 1):
            if (index - 1) % size == rank:
                yield batch.to(self.device), True
        if rank >= index % size > 0:
            yield batch.to(self.device), False

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        return with_initial_lr(self.make_optimizer(trained))

    def finish_iteration(self) -> Metrics:
        means = {f"train/{name}": mean for name, mean in self.step_means().items()}
        return means | self.evaluate()

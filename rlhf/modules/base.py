"""The base of the Lightning modules: their own count of iterations, and a learning rate that is a
function of it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch

from rlhf.functional.schedule import lr_factor

Metrics = dict[str, float]


class StageModule(pl.LightningModule):
    """One Lightning epoch is one iteration, counted here: `current_epoch` is one behind when a
    resumed loop builds its first iterator.

    `record` holds the metrics of the last finished iteration. A subclass gives `finish_iteration`
    and `initial_record`, and may add state of its own to the checkpoint with `extra_state` and
    `load_extra_state`.
    """

    stage: str
    unit = "iteration"

    def __init__(self, *, iterations: int, lr_schedule: str, lr_warmup: float) -> None:
        super().__init__()
        self.iterations, self.lr_schedule, self.lr_warmup = iterations, lr_schedule, lr_warmup
        self.iteration = 0
        self.record: Metrics = {}
        self.samples: list[dict[str, Any]] = []
        self._steps: list[dict[str, torch.Tensor]] = []

    def initial_record(self) -> Metrics:
        """Metrics of iteration 0, before any training."""
        return {}

    def finish_iteration(self) -> Metrics:
        raise NotImplementedError

    def extra_state(self) -> dict[str, Any]:
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        pass

    def log_step(self, **metrics: torch.Tensor) -> None:
        """Numbers of one batch, averaged over the iteration by `step_means` (`..._max`: the
        largest)."""
        self._steps.append({name: value.detach() for name, value in metrics.items()})

    def step_means(self) -> Metrics:
        steps, self._steps = self._steps, []
        columns = {
            name: torch.stack([step[name] for step in steps])
            for name in (steps[0] if steps else {})
        }
        return {
            name: float(column.max() if name.endswith("_max") else column.mean())
            for name, column in columns.items()
        }

    def progress(self, batch_idx: int) -> float:
        """Share of the training that is done, in [0, 1]."""
        return (self.iteration + batch_idx / self.batches_an_iteration()) / self.iterations

    def batches_an_iteration(self) -> int:
        return int(self.trainer.num_training_batches)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        factor = lr_factor(self.lr_schedule, self.progress(batch_idx), self.lr_warmup)
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = group["initial_lr"] * factor

    def on_train_epoch_end(self) -> None:
        self.iteration += 1
        self.record = self.finish_iteration()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rlhf"] = {"iteration": self.iteration, **self.extra_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = dict(checkpoint["rlhf"])
        self.iteration = state.pop("iteration")
        self.load_extra_state(state)

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        return batch.to(device)


def with_initial_lr(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Notes each group's learning rate as the one that the schedule scales."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer

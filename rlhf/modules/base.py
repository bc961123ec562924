"""The bases of the Lightning modules: their own count of iterations, and a learning rate that is a
function of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch

Metrics = dict[str, float]
MakeOptimizer = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]


class StageModule(pl.LightningModule):
    """One Lightning epoch is one iteration, counted here: `current_epoch` is one behind when a
    resumed loop builds its first iterator.

    `record` holds the metrics of the last finished iteration. A subclass gives `evaluate` and
    `finish_iteration`, and may add state of its own to the checkpoint with `extra_state` and
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
        self.by_prompt: list[dict[str, Any]] = []  # one row where there was an evaluation
        self._steps: list[dict[str, torch.Tensor]] = []

    def evaluate(self) -> Metrics:
        """Metrics on what is held out: the whole record of iteration 0."""
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
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
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
    ) -> None:
        super().__init__(iterations=epochs, lr_schedule=lr_schedule, lr_warmup=lr_warmup)
        self.model, self.make_optimizer, self.heldout = model, make_optimizer, heldout

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return with_initial_lr(self.make_optimizer(self.model.parameters()))

    def finish_iteration(self) -> Metrics:
        means = {f"train/{name}": mean for name, mean in self.step_means().items()}
        return means | self.evaluate()


def lr_factor(schedule: str, progress: float, warmup: float = 0.0) -> float:
    """The factor on the base learning rate at `progress` in [0, 1], the share of all steps done: no
    scheduler state to save.

    Linear warm-up from 0 over the first `warmup` share, then with q the share of what is left:
    constant 1, linear 1 - q, cosine (1 + cos(pi q)) / 2.
    """
    if warmup > 0 and progress < warmup:
        return progress / warmup
    q = min(1.0, (progress - warmup) / (1.0 - warmup)) if warmup < 1 else 1.0
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - q
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * q))
    raise ValueError(f"unknown schedule {schedule!r}: expected constant, linear or cosine")


def with_initial_lr(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Notes each group's learning rate as the one that the schedule scales."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return optimizer

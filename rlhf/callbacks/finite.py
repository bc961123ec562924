"""Checks that losses, gradients, weights and metrics of a stage are finite, before they are used or
saved."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from rlhf.functional.finite import in_words, nonfinite_metrics, nonfinite_names
from rlhf.modules.base import StageModule
from rlhf.rundir.errors import NonFinite

# metrics of the stages; those of callbacks of one's own may be NaN
OURS = (
    "train/",
    "val/",
    "ppo/",
    "reward/",
    "kl/",
    "policy/",
    "response/",
    "trust_region/",
    "eval/",
)


def whereabouts(module: StageModule, ahead: int = 0) -> str:
    """`sft, epoch 2`: the iteration that ended last, or one ahead of it."""
    return f"{module.stage}, {module.unit} {module.iteration + ahead}"


class FiniteUpdates(pl.Callback):
    """Raises NonFinite before an optimizer step whose loss or gradient is NaN or infinite, and at
    an iteration's end where a weight is.

    The gradient is judged by its norm over all weights, as clipping takes it: one number a step
    leaves the device.
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []  # of the micro-batches of the step under way

    def on_before_backward(self, trainer: pl.Trainer, pl_module: Any, loss: Tensor) -> None:
        self.losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer
    ) -> None:
        losses, self.losses = self.losses, []
        gradients = [
            (name, p.grad) for name, p in pl_module.named_parameters() if p.grad is not None
        ]
        norm = torch.nn.utils.get_total_norm([gradient for _, gradient in gradients])
        if bool(torch.isfinite(torch.stack([*losses, norm.to(pl_module.device)])).all()):
            return
        where = f"{whereabouts(pl_module, 1)}, optimizer step {trainer.global_step + 1}"
        values = ", ".join(str(float(x)) for x in losses if not torch.isfinite(x))
        loss = f"the loss is {values}" if values else "the loss is finite"
        if bad := nonfinite_names(gradients):
            raise NonFinite(f"{where}: {loss}, its gradient is NaN or infinite at {in_words(bad)}")
        raise NonFinite(f"{where}: {loss}, the norm of its gradient is {float(norm)}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Before the module's own: nothing is evaluated with such weights."""
        if bad := nonfinite_names(pl_module.named_parameters()):
            raise NonFinite(
                f"{whereabouts(pl_module, 1)}: weights are NaN or infinite after its updates:"
                f" {in_words(bad)}"
            )


def check_record(module: StageModule) -> None:
    """Raises NonFinite where a metric of the last iteration is NaN or infinite."""
    if bad := nonfinite_metrics(module.record, OURS):
        listed = ", ".join(f"{name} is {value}" for name, value in bad.items())
        raise NonFinite(f"{whereabouts(module)}: {listed}")

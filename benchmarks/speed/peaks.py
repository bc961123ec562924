"""Peaks of memory of a run's phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl

from benchmarks.peak import begin_anew, resident_peak
from benchmarks.speed.clock import now


class Peaks(pl.Callback):
    """Bytes and CPU seconds of scoring and of each minibatch, by iteration."""

    iterations: list[dict[str, Any]] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        Peaks.iterations, score = [], pl_module.score

        def watched(*arguments: Any) -> Any:
            result, self.scoring = watch(lambda: score(*arguments))
            return result

        pl_module.score = watched
        self.gradients = sum(p.numel() * 4 for p in pl_module.parameters() if p.requires_grad)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.updates: list[dict[str, float]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.before, self.began = begin_anew("cpu"), now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.updates.append({"bytes": resident_peak() - self.before, "seconds": now() - self.began})

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        Peaks.iterations.append(
            {"scoring": self.scoring, "updates": self.updates, "gradients": self.gradients}
        )


def watch(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    before, began = begin_anew("cpu"), now()
    result = work()
    return result, {"bytes": resident_peak() - before, "seconds": now() - began}

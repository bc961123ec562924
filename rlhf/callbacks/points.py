"""The end of a path's point: what is left of it as a run of its own is written."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from rlhf.models.networks import Policy
from rlhf.modules.online import OnlineModule

Results = Callable[[Path], None]  # writes results of callbacks into a folder


class WritePoint(Protocol):
    def __call__(self, point: int, policy: Policy, results: Results) -> None:
        """Writes the point of this number, whose training has just ended with `policy`. Not again
        where it is there."""

    def passed(self, points: int) -> None:
        """Training begins after so many points, none of which is written again."""


class Points(Checkpoint):
    """A `Checkpoint` after the Recorder, so that the state of the point's end is saved before the
    point is written: a kill between the two is made good where training goes on from there. The
    last point is the run itself.

    Callbacks that leave results in a run's directory at its end do so in a point's, too, where they
    have `write_results(folder)`.
    """

    first_rank_only = True

    def __init__(self, write: WritePoint) -> None:
        self.write = write

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if (path := pl_module.path) is not None:
            # the one that has just ended is written below
            self.write.passed(path.passed - 1 if pl_module.ends_point() else path.passed)
        self._write(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def _write(self, trainer: pl.Trainer, module: OnlineModule) -> None:
        path = module.path
        if path is None or path.ended is None or path.done:
            return
        results = partial(_write_results, trainer)
        with torch.no_grad():
            if getattr(module.policy, "keeps_float32", False):  # adapters: none is copied
                return self.write(path.ended, module.policy, results)
            with module.in_float32(module.policy) as (policy,):
                self.write(path.ended, cast("Policy", policy), results)


def _write_results(trainer: pl.Trainer, folder: Path) -> None:
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if (write := getattr(callback, "write_results", None)) is not None:
            write(folder)

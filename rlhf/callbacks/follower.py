"""The iteration boundary on a rank above 0: what rank 0's Recorder does with all ranks, and none of
what it writes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from rlhf.callbacks.checkpoint import checkpoint_path
from rlhf.callbacks.recorder import Watch, end_again, is_due
from rlhf.rundir.errors import Stopped


class Follower(Checkpoint):
    """A `Checkpoint` as the Recorder is, so that both are called at the same moment. It makes the
    same calls that need all ranks, in the same order."""

    def __init__(self, directory: Path, *, checkpoint_every: int) -> None:
        self.directory, self.checkpoint_every = directory, checkpoint_every
        self.watch = Watch()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if pl_module.iteration == pl_module.iterations:
            end_again(trainer, pl_module, last=self)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.watch = Watch()
        if pl_module.iteration == 0:
            pl_module.record = pl_module.evaluate()
            self.watch.look(pl_module.ranks)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.watch.look(pl_module.ranks)
        stopped = pl_module.ranks.any(False)
        if stopped or is_due(pl_module, self.checkpoint_every):
            trainer.save_checkpoint(checkpoint_path(self.directory, pl_module.iteration))
        if stopped:
            raise Stopped(signal.SIGTERM, str(self.directory))

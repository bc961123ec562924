"""Trains one stage's module in one directory, from its last whole checkpoint where there is one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, last_checkpoint
from rlhf.callbacks.recorder import Recorder
from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule
from rlhf.rundir.errors import NonFinite
from rlhf.tracking.base import Tracker


def quiet_lightning() -> None:
    """Lightning's tips and warnings that do not concern us: devices, loggers, workers."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        "does not have many workers",
        "LeafSpec",
        "GPU available but not used",
        "in eval mode",
    ):
        warnings.filterwarnings("ignore", message=f".*{pattern}.*")


def fit(
    module: StageModule,
    batches: Iterable[Any],
    *,
    directory: Path,
    settings: Trainer,
    grad_clip: float | None,
    checkpoint_every: int,
    tracker: Tracker,
    status_in: Path,
    callbacks: Iterable[pl.Callback] = (),
    accumulate: int = 1,
) -> None:
    """Ends with the last iteration's checkpoint in `directory`, and `module` as it was then."""
    quiet_lightning()
    resume = last_checkpoint(directory)
    trainer = pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,
        max_epochs=module.iterations,
        gradient_clip_val=grad_clip,
        accumulate_grad_batches=accumulate,
        callbacks=[
            Recorder(
                directory, checkpoint_every=checkpoint_every, tracker=tracker, status_in=status_in
            ),
            *callbacks,
        ],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(directory),
        use_distributed_sampler=False,
    )
    try:
        trainer.fit(
            module, batches, ckpt_path=None if resume is None else str(resume), weights_only=True
        )
    except NonFinite as error:
        last = last_checkpoint(directory)
        start = "begins anew" if last is None else f"goes on from {last}"
        raise NonFinite(f"{error}. Nothing of it is saved; the same command {start}") from error

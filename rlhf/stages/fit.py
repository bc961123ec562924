"""Trains one stage's module in one directory, from its last whole checkpoint where there is one."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, Start, last_checkpoint
from rlhf.callbacks.follower import Follower
from rlhf.callbacks.recorder import Recorder
from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule
from rlhf.ranks.group import ALONE, Ranks
from rlhf.rundir.errors import NonFinite
from rlhf.stages.provenance.legs import starting_point
from rlhf.stages.ranks.strategy import devices
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


def quiet_lightning() -> None:
    """Lightning's tips and warnings that do not concern us: devices, loggers, workers."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for pattern in (
        "does not have many workers",
        "LeafSpec",
        "GPU available but not used",
        "in eval mode",
        "returned a view tensor",  # which nothing here changes in place
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
    began: Callable[[Start], None] = lambda start: None,
    ranks: Ranks = ALONE,
) -> None:
    """Ends with the last iteration's checkpoint in `directory`, and `module` as it was then.
    `began` is called with the checkpoint that it goes on from, before it does; by rank 0, which
    chooses it for all `ranks`."""
    quiet_lightning()
    module.ranks, module.recomputes = ranks, settings.gradient_checkpointing

    start = ranks.from_first(partial(_choose, directory, module.unit, began))
    boundary: pl.Callback = Follower(directory, checkpoint_every=checkpoint_every)
    if ranks.leads:
        boundary = Recorder(
            directory, checkpoint_every=checkpoint_every, tracker=tracker, status_in=status_in
        )
    chosen = devices(settings, module, ranks)
    trainer = pl.Trainer(
        max_epochs=module.iterations,
        gradient_clip_val=grad_clip,
        callbacks=[boundary, *(each for each in callbacks if ranks.leads or _everywhere(each))],
        plugins=[AtomicCheckpointIO(), *chosen.pop("plugins")],
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(directory),
        use_distributed_sampler=False,
        **chosen,
    )
    _leave_signals(trainer)
    resume = None if start.path is None else str(start.path)
    with _told_where_it_goes_on(directory):
        trainer.fit(module, batches, ckpt_path=resume, weights_only=True)
        module.join()
    _let_go(trainer)


def _let_go(trainer: pl.Trainer) -> None:
    """No optimizer state outlives the training. Lightning's objects hold each other, so that Python
    alone would let it go some time later."""
    for optimizer in trainer.optimizers:
        optimizer.state.clear()


def _choose(directory: Path, unit: str, began: Callable[[Start], None]) -> Start:
    _drop_slurms(directory)
    start = starting_point(directory, unit)
    began(start)
    return start


def _everywhere(callback: pl.Callback) -> bool:
    """Callbacks are called on every rank, as Lightning's are, but for those that say otherwise."""
    return not getattr(callback, "first_rank_only", False)


@contextmanager
def _told_where_it_goes_on(directory: Path) -> Iterator[None]:
    """Adds to a number that is not finite what the same command would do."""
    try:
        yield
    except NonFinite as error:
        last = last_checkpoint(directory)
        then = "begins anew" if last is None else f"goes on from {last}"
        raise NonFinite(f"{error}. Nothing of it is saved; the same command {then}") from error


def _leave_signals(trainer: pl.Trainer) -> None:
    """No handlers of Lightning's: they are the run's and the Recorder's."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def _drop_slurms(directory: Path) -> None:
    """Under Slurm, older versions let Lightning save in the middle of an iteration. No run goes on
    from such a file, but Lightning would, where there is no checkpoint yet."""
    for path in directory.glob("hpc_ckpt_*"):
        log.warning("%s is removed: an older version saved it in mid-iteration", path)
        path.unlink(missing_ok=True)

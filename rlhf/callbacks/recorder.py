"""The iteration boundary, in one place: metrics written, tracker notified, checkpoint saved, a stop
request obeyed."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from rlhf.callbacks.checkpoint import checkpoint_path, prune, records_in
from rlhf.modules.base import StageModule
from rlhf.modules.finite import check_record
from rlhf.ranks.group import Ranks
from rlhf.rundir import records
from rlhf.rundir.errors import RunFailed, Stopped
from rlhf.rundir.files import append_jsonl
from rlhf.rundir.signals import STOPPING, Stop, raising
from rlhf.rundir.status import write_status
from rlhf.tracking.base import Tracker

log = logging.getLogger(__name__)


def is_due(module: StageModule, checkpoint_every: int) -> bool:
    """Whether the iteration that ended has a checkpoint of its own."""
    return module.needs_checkpoint() or module.iteration % checkpoint_every == 0


def end_again(trainer: pl.Trainer, module: StageModule, *, last: Checkpoint) -> None:
    """What callbacks do at the end, which a kill after the last checkpoint may have cut: a fit that
    has nothing to train ends without asking them. Of `last`, after which there is none, nothing."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if callback is not last:
            callback.on_train_start(trainer, module)
            callback.on_train_end(trainer, module)


class Watch:
    """The time between two looks at it: of the clock, and of the processors that worked."""

    def __init__(self) -> None:
        self.last, self.worked = time.time(), time.process_time()

    def look(self, ranks: Ranks) -> dict[str, float]:
        """`time`, and since the last look `seconds` and `cpu`, seconds of processors, of all ranks
        together: each of them must look."""
        last, worked = self.last, self.worked
        self.last, self.worked = time.time(), time.process_time()
        cpu = ranks.sum([self.worked - worked])[0]
        return {
            "time": self.last,
            "seconds": round(self.last - last, 4),
            "cpu": round(cpu, 4),
        }


class Recorder(Checkpoint):
    """A `Checkpoint`, because Lightning calls those after the module's own `on_train_epoch_end`.

    Signals, the alarm of the run's time limit among them: the first one ends the run at once if the
    last iteration's state is saved, else at the end of this iteration, after saving it; a second
    one ends it at once (what is lost is replayed, identically, on resume).
    """

    def __init__(
        self, directory: Path, *, checkpoint_every: int, tracker: Tracker, status_in: Path
    ) -> None:
        """`status_in`: the directory of the run on whose behalf a stage trains; the same as
        `directory` for PPO."""
        self.directory, self.checkpoint_every = directory, checkpoint_every
        self.tracker, self.status_in = tracker, status_in
        self.saved = -1
        self.kept: dict[str, bytes] | None = None  # the records that the last checkpoint has
        self.stop = Stop()
        self.watch = Watch()
        self._handlers = ExitStack()

    # --- signals

    def _ask(self, number: int) -> Stopped | None:
        again = self.stop.note(number) and len(self.stop.signals) > 1
        return self._end() if again else None

    def _end(self) -> Stopped:
        return Stopped(self.stop.signals[0], str(self.directory))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.stop.signals and self.saved == pl_module.iteration:
            raise self._end()

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self._handlers.close()

    # --- iterations

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._handlers.enter_context(raising(STOPPING, self._ask))
        self.watch = Watch()
        if pl_module.iteration == 0:
            pl_module.record = pl_module.evaluate()
            self._write(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """
        Raises:
            RunFailed: rows that the last checkpoint has a copy of are gone or changed.
        """
        now = records.contents(self.directory)
        if damaged := records.changed(self.kept or {}, now):
            raise RunFailed(
                f"{self.directory}: {' and '.join(damaged)} lost or changed rows while it trained."
                " The same command puts them back and goes on from its last checkpoint, or makes"
                " them again"
            )
        self.kept = now
        checkpoint["records"] = {
            name: torch.frombuffer(bytearray(data), dtype=torch.uint8)
            for name, data in records.packed(now).items()
        }

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        if "records" in checkpoint:
            self.kept = records_in(checkpoint)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._restore_records(pl_module)
        if pl_module.iteration == pl_module.iterations:
            end_again(trainer, pl_module, last=self)

    def _restore_records(self, pl_module: Any) -> None:
        """As they were at the iteration that training goes on from."""
        iteration = pl_module.iteration
        evaluated = not iteration or pl_module.evaluates_at(iteration)
        self.saved = iteration or -1
        if self.kept is None:
            records.cut_back(self.directory, self.saved, evaluated=evaluated)
            return
        if not evaluated:
            self.kept = records.without_evaluation(self.kept, iteration)
        if damaged := records.put_back(self.directory, self.kept):
            log.warning(
                "%s: %s had lost or changed rows up to %s %d; they are put back from the"
                " checkpoint's copy",
                *(self.directory, " and ".join(damaged), pl_module.unit, iteration),
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._write(pl_module)
        stopped = pl_module.ranks.any(bool(self.stop.signals))
        if stopped or is_due(pl_module, self.checkpoint_every):
            trainer.save_checkpoint(checkpoint_path(self.directory, pl_module.iteration))
            prune(self.directory)
            self.saved = pl_module.iteration
        if stopped:
            raise self._end()

    def _write(self, module: StageModule) -> None:
        at, times = {"iteration": module.iteration}, self.watch.look(module.ranks)
        append_jsonl(self.directory / "metrics.jsonl", [at | module.record])
        append_jsonl(self.directory / "timings.jsonl", [at | times])
        append_jsonl(self.directory / "samples.jsonl", [at | row for row in module.samples])
        if module.by_prompt:
            append_jsonl(self.directory / "by_prompt.jsonl", [at | row for row in module.by_prompt])
        module.samples, module.by_prompt = [], []
        check_record(
            module.record, module.where()
        )  # after it was written, for whoever looks for the cause
        write_status(
            self.status_in,
            state="running",
            stage=module.stage,
            title=module.title or None,
            iteration=module.iteration,
            iterations=module.iterations,
        )
        self.tracker.notify()

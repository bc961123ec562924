"""The screen while a stage trains: one live line in a terminal, a plain line at most
every 5 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from rlhf import metrics
from rlhf.modules.base import Metrics, StageModule
from rlhf.rundir.words import duration

PLAIN_EVERY = 5.0  # seconds between plain lines


def describe(record: Metrics) -> str:
    """The record's main numbers, e.g. `proxy +0.512  KL 1.93  coef 0.05`."""
    columns = metrics.with_rewards(metrics.PROGRESS, record)
    numbers = metrics.cells(record, columns).items()
    return "  ".join(f"{label} {text}" for label, text in numbers if text)


def _left_of(module: StageModule) -> str:
    return "left at most" if module.may_end_early else "left"


class Times(ProgressColumn):
    """Time since the start, and about how much is left, as everywhere: 1 min 05 s."""

    def render(self, task: Task) -> Text:
        parts = [] if task.elapsed is None else [duration(task.elapsed)]
        left = task.fields.get("left", "left")
        parts += [f"{left} {duration(task.time_remaining)}"] if task.time_remaining else []
        return Text("  ".join(parts))


class Progress(pl.Callback):
    """Stage, iteration, main numbers and time left. `gold` stays visible between evaluations."""

    first_rank_only = True

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr)
        self.live: Live | None = None
        self.kept: Metrics = {}
        self.spoke = 0.0
        self.began = (0.0, 0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.began = (time.time(), pl_module.iteration)
        self.kept = {}
        if not self.console.is_terminal:
            return
        self.bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            Times(),
            console=self.console,
        )
        self.task = self.bar.add_task(
            pl_module.title or pl_module.stage,
            total=pl_module.iterations,
            completed=pl_module.iteration,
            numbers="",
            left=_left_of(pl_module),
        )
        self.live = Live(self.bar, console=self.console, refresh_per_second=4)
        self.live.start()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self._show(pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._show(pl_module, last=True)
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _show(self, module: StageModule, last: bool = False) -> None:
        self.kept.update(module.record)
        numbers = describe(self.kept)
        if self.live is not None:
            self.bar.update(
                self.task, completed=module.iteration, total=module.iterations, numbers=numbers
            )
        elif last or (numbers and time.time() - self.spoke > PLAIN_EVERY):
            self.spoke = time.time()
            what = f"{module.title or module.stage} {module.unit}"
            where = f"{what} {module.iteration}/{module.iterations}"
            line = f"{where}  {numbers}  {self._left(module)}"
            self.console.print(line.rstrip(), highlight=False, soft_wrap=True)

    def _left(self, module: StageModule) -> str:
        began, first = self.began
        done, left = module.iteration - first, module.iterations - module.iteration
        if not (done and left):
            return ""
        return f"{_left_of(module)} {duration(left * (time.time() - began) / done)}"

    def _close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None

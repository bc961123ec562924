"""A fit of two ranks in one directory: one of them writes, and a wish to stop is everybody's."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from rlhf.callbacks.checkpoint import last_checkpoint
from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule, with_initial_lr
from rlhf.ranks.group import ALONE, Ranks
from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.signals import handled
from rlhf.stages.fit import fit
from rlhf.tracking.base import NoTracker
from tests.two_ranks import on_two_ranks

SETTINGS = Trainer(accelerator="cpu", precision="32-true", threads=1, strategy="ddp", devices=2)
BATCHES = DataLoader([torch.tensor([0.0, 2.0, 1.0, 5.0])], batch_size=None)


class Line(StageModule):
    """Mean over x of (weight - x)^2, x of this rank; an evaluation asks all ranks."""

    stage, unit = "sft", "epoch"

    def __init__(self, stops_in=0):
        super().__init__(iterations=3, lr_schedule="constant", lr_warmup=0.0)
        self.weight, self.stops_in = torch.nn.Parameter(torch.zeros(())), stops_in

    def configure_optimizers(self):
        return with_initial_lr(torch.optim.SGD([self.weight], lr=0.25))

    def training_step(self, batch, batch_idx):
        if self.ranks.leads and self.iteration + 1 == self.stops_in:
            os.kill(os.getpid(), signal.SIGTERM)
        own = batch[self.ranks.own(len(batch))]
        return (self.weight - own).square().mean()

    def evaluate(self):
        return {"val/asked": self.ranks.sum([1.0])[0]}

    def finish_iteration(self):
        return {**self.evaluate(), "val/weight": float(self.weight.detach())}


class Tracker(NoTracker):
    def notify(self):
        pass


class Asks(pl.Callback):
    """Asks all ranks at the end."""

    def __init__(self):
        self.asked = 0.0

    def on_train_end(self, trainer, pl_module):
        self.asked += pl_module.ranks.sum([1.0])[0]


def go(rank, directory, stops_in=0, size=2, callbacks=()):
    module, ranks = Line(stops_in), Ranks(rank=rank, size=size) if size > 1 else ALONE
    with handled(("SIGTERM",), lambda *_: None):
        try:
            fit(
                module,
                BATCHES,
                directory=directory,
                status_in=directory,
                settings=SETTINGS,
                grad_clip=None,
                checkpoint_every=2,
                tracker=NoTracker.__new__(Tracker),
                ranks=ranks,
                callbacks=callbacks,
            )
        except Stopped as error:
            return module.iteration, error.exit_code, float(module.weight)
    return module.iteration, 0, float(module.weight)


def rows(directory):
    return [row["iteration"] for row in read_jsonl(directory / "metrics.jsonl")]


def test_one_rank_writes_and_all_are_asked(tmp_path):
    """The mean of 0, 2, 1, 5 is 2; a step of lr 1/4 halves what is missing: 1, 1.5, 1.75."""
    assert on_two_ranks(go, tmp_path) == [(3, 0, 1.75), (3, 0, 1.75)]
    assert rows(tmp_path) == [0, 1, 2, 3]
    assert {row["val/asked"] for row in read_jsonl(tmp_path / "metrics.jsonl")} == {2.0}
    assert last_checkpoint(tmp_path).stem == "iteration-000003"


def test_all_ranks_stop_at_the_same_boundary_with_their_state_saved(tmp_path):
    """Also where none was due; and go on from there, on two ranks or one."""
    assert on_two_ranks(go, tmp_path, 1) == [(1, 143, 1.0), (1, 143, 1.0)]
    assert rows(tmp_path) == [0, 1]
    assert last_checkpoint(tmp_path).stem == "iteration-000001"
    assert on_two_ranks(go, tmp_path, 2) == [(2, 143, 1.5), (2, 143, 1.5)]
    module = Line()
    fit(
        module,
        BATCHES,
        directory=tmp_path,
        status_in=tmp_path,
        settings=SETTINGS,
        grad_clip=None,
        checkpoint_every=2,
        tracker=NoTracker.__new__(Tracker),
    )
    assert float(module.weight) == pytest.approx(1.75) and rows(tmp_path) == [0, 1, 2, 3]


def test_a_fit_that_had_ended_ends_again_on_all_ranks(tmp_path):
    """A kill after the last checkpoint may have cut what callbacks do then, with all ranks."""

    def rank(number):
        asks = Asks()
        return go(number, tmp_path, callbacks=[asks]), asks.asked

    ended = ((3, 0, 1.75), 2.0)
    assert on_two_ranks(rank) == [ended, ended]
    assert on_two_ranks(rank) == [ended, ended] and rows(tmp_path) == [0, 1, 2, 3]

import math

import pytest
import torch

from rlhf.callbacks.checkpoint import AtomicCheckpointIO, checkpoint_path, last_checkpoint
from rlhf.config.schema import Trainer
from rlhf.modules.base import StageModule, with_initial_lr
from rlhf.rundir.errors import NonFinite
from rlhf.rundir.files import read_jsonl
from rlhf.stages.fit import fit
from rlhf.stages.provenance.legs import starting_point
from rlhf.tracking.base import NoTracker


class Line(StageModule):
    """Loss scale * (weight - x)^2 for each x of `batches`, one iteration a pass."""

    stage, unit = "sft", "epoch"

    def __init__(self, lr=0.1, metric=0.0):
        super().__init__(iterations=3, lr_schedule="constant", lr_warmup=0.0)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.lr, self.metric, self.seen = lr, metric, []

    def configure_optimizers(self):
        return with_initial_lr(torch.optim.SGD([self.weight], lr=self.lr))

    def training_step(self, batch, batch_idx):
        self.seen.append(float(self.weight.detach()))
        return (self.weight - batch).square().sum()

    def finish_iteration(self):
        return {"val/loss": self.metric if self.iteration == 2 else 0.0}


def go(directory, module, batches, **more):
    settings = Trainer(accelerator="cpu", precision="32-true", threads=1)
    fit(
        module,
        torch.utils.data.DataLoader(torch.tensor(batches)),
        directory=directory,
        status_in=directory,
        settings=settings,
        checkpoint_every=1,
        tracker=NoTracker(),
        **{"grad_clip": None, **more},
    )
    return module


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_finite_or_nothing_stops_before_the_step(tmp_path, value, clip):
    """The second batch is bad (1e30 overflows when it is squared): one step was taken, and no
    checkpoint is there."""
    module = Line()
    with pytest.raises(NonFinite) as error:
        go(tmp_path, module, [1.0, value], grad_clip=clip)
    assert str(error.value).startswith("sft, epoch 1, optimizer step 2: the loss is ")
    assert str(error.value).endswith("Nothing of it is saved; the same command begins anew")
    after_one = 0.1 * (1.0 if clip else 2.0)
    assert module.seen == pytest.approx([0.0, after_one])
    assert float(module.weight) == pytest.approx(after_one)
    assert last_checkpoint(tmp_path) is None


def test_a_micro_batch_of_a_step_is_enough(tmp_path):
    class Split(Line):
        def on_train_epoch_start(self):
            self.accumulate(2)

    with pytest.raises(NonFinite, match="optimizer step 1: the loss is nan"):
        go(tmp_path, Split(), [math.nan, 1.0])


def test_a_gradient_whose_square_overflows_is_named(tmp_path):
    """Finite loss and gradient, but Adam and the clip take squares: a norm of inf."""

    class Steep(Line):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2))

        def training_step(self, batch, batch_idx):
            return 1e20 * (self.weight - batch).sum()

    with pytest.raises(NonFinite, match="the loss is finite, the norm of its gradient is inf"):
        go(tmp_path, Steep(), [1.0])


def test_a_weight_that_overflows_is_not_evaluated_or_saved(tmp_path):
    module = Line(lr=3e38)
    with pytest.raises(NonFinite, match=r"weights are NaN or infinite .*: weight \(1 entry\)"):
        go(tmp_path, module, [1.0])
    assert [row["iteration"] for row in read_jsonl(tmp_path / "metrics.jsonl")] == [0]
    assert last_checkpoint(tmp_path) is None


def test_a_metric_that_is_nan_is_written_and_its_iteration_is_not_saved(tmp_path):
    """The same command goes on from the iteration before."""
    with pytest.raises(NonFinite, match=r"sft, epoch 2: val/loss is nan.*goes on from .*000001"):
        go(tmp_path, Line(metric=math.nan), [1.0])
    assert read_jsonl(tmp_path / "metrics.jsonl")[-1] == {"iteration": 2, "val/loss": "nan"}
    assert last_checkpoint(tmp_path) == checkpoint_path(tmp_path, 1)
    go(tmp_path, Line(), [1.0])
    assert [r["iteration"] for r in read_jsonl(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3]


def test_a_checkpoint_with_nan_is_not_written(tmp_path):
    state = {"state_dict": {"w": torch.ones(2)}, "optimizer_states": [{0: torch.tensor(math.inf)}]}
    path = checkpoint_path(tmp_path, 1)
    with pytest.raises(NonFinite, match=r"not written.*optimizer_states.0.0 \(1 entry\)"):
        AtomicCheckpointIO().save_checkpoint(state, path)
    assert not path.exists()


def test_a_checkpoint_with_nan_of_an_older_version_is_passed_over(tmp_path, caplog, monkeypatch):
    """The one before is good."""
    from rlhf.callbacks import checkpoint

    good, bad = checkpoint_path(tmp_path, 5), checkpoint_path(tmp_path, 10)
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": torch.ones(2)}}, good)
    with monkeypatch.context() as older:  # which did not look
        older.setattr(checkpoint, "nonfinite_names", lambda named: {})
        diverged = {"state_dict": {"w": torch.tensor([1.0, math.nan])}}
        AtomicCheckpointIO().save_checkpoint(diverged, bad)
    assert last_checkpoint(tmp_path) == good
    assert starting_point(tmp_path).path == good
    assert f"{bad} is not used: NaN or infinite are state_dict.w (1 entry)" in caplog.text

"""What is let go once nothing needs it: gradients after their step, an optimizer's state after its
training."""

import torch

from rlhf.modules.base import with_initial_lr
from tests.stages.test_fit import Line, go


class Watched(Line):
    def __init__(self, splits=1):
        super().__init__()
        self.splits, self.gradients, self.states = splits, [], []

    def on_train_epoch_start(self):
        self.accumulate(self.splits)

    def configure_optimizers(self):
        self.optimizer = torch.optim.Adam([self.weight], lr=self.lr)
        return with_initial_lr(self.optimizer)

    def training_step(self, batch, batch_idx):
        self.gradients.append(self.weight.grad)
        self.states.append(len(self.optimizer.state))
        return super().training_step(batch, batch_idx)


def test_gradients_go_after_their_step(tmp_path):
    """No forward pass has the gradient of the step before beside it."""
    module = go(tmp_path, Watched(), [1.0, 2.0])
    assert module.gradients == [None] * 6
    assert module.weight.grad is None


def test_gradients_stay_until_their_step(tmp_path):
    """Of two micro-batches: the second passes have the first ones' gradients, 2 (w - 1)."""
    module = go(tmp_path, Watched(splits=2), [1.0, 2.0])
    assert [g is None for g in module.gradients] == [True, False] * 3


def test_no_optimizer_state_outlives_the_training(tmp_path):
    module = go(tmp_path, Watched(), [1.0, 2.0])
    assert module.states == [0, 1, 1, 1, 1, 1]
    assert not module.optimizer.state

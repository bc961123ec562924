import pytest
import torch

from rlhf.functional.pooling import Mean
from rlhf.functional.schedules import lr_factor
from rlhf.modules.base import StageModule, keep_fused, with_initial_lr
from tests.training import fit


def factors(schedule, steps, warmup=0.0):
    return [lr_factor(schedule, step, steps, warmup) for step in range(steps)]


def test_values_by_hand():
    assert factors("constant", 3) == [1.0, 1.0, 1.0]
    assert factors("linear", 4) == [1.0, 0.75, 0.5, 0.25]
    root = 2**0.5 / 4
    assert factors("cosine", 4) == pytest.approx([1.0, 0.5 + root, 0.5, 0.5 - root])


def test_warmup_first_step_by_hand():
    """0.4 of 10 steps are 4: (k + 1) / 4, then the schedule from 1 on the 6 that are left."""
    rise = [0.25, 0.5, 0.75, 1.0]
    assert factors("constant", 10, 0.4) == rise + [1.0] * 6
    assert factors("linear", 10, 0.4) == pytest.approx([*rise, *(1 - k / 6 for k in range(6))])
    assert factors("cosine", 10, 0.4)[:5] == pytest.approx([*rise, 1.0])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.3, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 40])
def test_warmup_first_step_is_never_lost_and_no_step_jumps(schedule, warmup, steps):
    seen = factors(schedule, steps, warmup)
    assert min(seen) > 0 and max(seen) == 1.0
    rising = max(1, round(warmup * steps)) if warmup else 0
    falls = [a - b for a, b in zip(seen[rising:], seen[rising + 1 :], strict=False)]
    assert all(0 <= fall <= 1.6 / (steps - rising) for fall in falls)
    assert seen[max(0, rising - 1)] == 1.0  # the top joins the schedule's own beginning


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="cosine"):
        lr_factor("cosin", 1, 10)


class Slope(StageModule):
    """Its gradient is the mean of a step's batches, whatever its weight."""

    stage = "sft"

    def __init__(self, **settings):
        super().__init__(**settings)
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.rates = []

    def configure_optimizers(self):
        return with_initial_lr(torch.optim.SGD([self.weight], lr=0.1))

    def training_step(self, batch, batch_idx):
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return (self.weight * batch).sum()

    def finish_iteration(self):
        return self.step_means()


def slope(batches, accumulate=1, clip=None, **settings):
    module = Slope(**{"iterations": 1, "lr_schedule": "constant", "lr_warmup": 0.0, **settings})
    return fit(module, [*torch.tensor(batches)], accumulate, clip)


def test_split_invariance_of_the_learning_rate():
    """2 iterations of 2 steps, each of 3 micro-batches: all of a step have the step's rate."""
    module = slope([1.0] * 6, accumulate=3, iterations=2, lr_schedule="linear")
    steps = [0.1, 0.075, 0.05, 0.025]
    assert module.rates == pytest.approx([rate for rate in steps for _ in range(3)])
    assert module.record["lr"] == pytest.approx((0.05 + 0.025) / 2)
    # the last step of an iteration may have fewer: 4 batches by 3 are 2 steps
    module = slope([1.0] * 4, accumulate=3, lr_schedule="linear")
    assert module.rates == pytest.approx([0.1, 0.1, 0.1, 0.05])


def test_warmup_first_step_moves_the_weights_of_a_stage_of_one_step():
    module = slope([2.0], lr_schedule="cosine", lr_warmup=0.05)
    assert float(module.weight.detach()) == pytest.approx(-0.2)
    assert module.record["lr"] == pytest.approx(0.1)


def test_the_gradient_norm_is_that_before_clipping_and_clipping_is_torchs():
    """Steps of gradient 3 and -1 (means of two batches), clipped at 2: the weight moves by -0.1 *
    2 and 0.1 * 1."""
    module = slope([2.0, 4.0, -2.0, 0.0], accumulate=2, clip=2.0)
    assert module.record["grad_norm"] == pytest.approx(2.0)
    assert module.record["grad_norm_max"] == pytest.approx(3.0)
    assert float(module.weight.detach()) == pytest.approx(-0.1, abs=1e-5)


def test_numbers_are_pooled_until_they_are_asked_for():
    module = Slope(iterations=1, lr_schedule="constant", lr_warmup=0.0)
    module.log_step({"top_max": torch.tensor(3.0)}, share=Mean.over(0.5, 16))
    module.log_step({"top_max": torch.tensor(2.0)}, share=Mean.over(1.0, 1))
    assert module.step_means() == {"share": pytest.approx(9 / 17), "top_max": 3.0}
    assert module.step_means() == {}


class Fused(Slope):
    def configure_optimizers(self):
        return with_initial_lr(torch.optim.Adam([self.weight], lr=0.1, fused=True))

    def on_train_start(self):
        self.optimizers().param_groups[0]["fused"] = None  # as a checkpoint may leave it
        super().on_train_start()


def test_a_fused_optimizer_is_so_after_a_checkpoint_of_one_that_was_not():
    """Torch takes what it loads for the truth, without a word. A step of either is the same."""
    loop, kernel = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    before = torch.optim.Adam([loop], lr=0.1)
    after = torch.optim.Adam([kernel], lr=0.1, fused=True)

    def step(optimizer, weight):
        weight.grad = torch.tensor([1.0, -2.0, 0.5])
        optimizer.step()

    step(before, loop)
    kernel.data.copy_(loop.data)
    after.load_state_dict(before.state_dict())
    assert not after.param_groups[0]["fused"]
    keep_fused(after)
    assert after.param_groups[0]["fused"]
    step(before, loop)
    step(after, kernel)
    torch.testing.assert_close(kernel, loop, rtol=0, atol=1e-7)
    keep_fused(before)
    assert before.param_groups[0]["fused"] is None


def test_a_stage_keeps_its_optimizer_fused():
    module = fit(Fused(iterations=1, lr_schedule="constant", lr_warmup=0.0), [*torch.ones(2)])
    assert module.optimizers(use_pl_optimizer=False).param_groups[0]["fused"]

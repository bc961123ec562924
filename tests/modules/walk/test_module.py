"""A path of three points on a random policy of two layers, with a trainer: where it evaluates and
ends, its learning rates, and what begins anew with a point."""

import pytest
import pytorch_lightning as pl
import torch

from rlhf.kl.estimator import K1
from rlhf.kl.path import Path
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.modules.parts import CollectedMinibatches
from tests.modules.algorithms.test_ppo import make

GRID = [0.4, 0.2, 0.1]


class Watch(pl.Callback):
    """What the module has at each moment that matters."""

    def __init__(self):
        self.records, self.marked, self.weights, self.begun = [], [], [], {}
        self.batches = 0

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.batches += 1
        if batch_idx == 0 and module.path is not None:
            optimizer = trainer.optimizers[0]
            values = [p.detach().clone() for p in module.value_model.parameters()]
            kept = {
                name: sum(p in optimizer.state for p in model.parameters())
                for name, model in (("policy", module.policy), ("values", module.value_model))
            }
            self.begun[module.iteration + 1] = (module.kl.coef, kept, values)

    def on_train_epoch_end(self, trainer, module):
        """Before the module's own: the record is of the iteration before."""
        self.weights.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
        self.note(module)

    def on_train_end(self, trainer, module):
        self.note(module)

    def note(self, module):
        if module.iteration:
            self.records.append(module.record)
            self.marked.append(module.needs_checkpoint())


def walk(tokenizer, grid=GRID, *, start_from=None, most=2, tolerance=0.0, **given):
    names = ("shrink", "restart_lr", "keep_optimizer", "keep_values")
    own = {name: given.pop(name) for name in names if name in given}
    path = Path(
        grid[-1], grid=grid, iterations=most, at_least=1, window=2, tolerance=tolerance, **own
    )
    kl = KLPenalty(path, K1(), Reward(), SFT())
    # iterations: the most of a point, which the module has from the path
    module = make(tokenizer, kl=kl, iterations=most, eval_every=100, reference_seed=1, **given)
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=module.iterations,
        logger=False,
        callbacks=[watch],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, CollectedMinibatches(module))
    return module, watch


def test_each_point_has_its_iterations_an_evaluation_and_a_checkpoint(tokenizer):
    module, watch = walk(tokenizer)
    assert (module.iteration, module.iterations, module.path.done) == (6, 6, True)
    assert [row["kl/coef"] for row in watch.records] == [0.4, 0.4, 0.2, 0.2, 0.1, 0.1]
    assert [row["path/point"] for row in watch.records] == [0, 0, 1, 1, 2, 2]
    assert [row["path/held"] for row in watch.records] == [1, 2] * 3
    assert ["eval/kl/sequence_nats" in row for row in watch.records] == [False, True] * 3
    assert watch.marked == [False, True] * 3


def test_upwards(tokenizer):
    _, watch = walk(tokenizer, GRID[::-1])
    assert [row["kl/coef"] for row in watch.records] == [0.1, 0.1, 0.2, 0.2, 0.4, 0.4]


def test_a_settled_path_ends_at_once(tokenizer):
    """With so large a tolerance each point has settled when its window is full."""
    module, watch = walk(tokenizer, most=5, tolerance=1e9)
    assert len(watch.records) == module.iteration == module.iterations == 6
    assert [row["path/held"] for row in watch.records] == [1, 2] * 3
    assert "path/kl_change_se" in watch.records[1]
    assert watch.batches == 6 * 2 * 2  # inner epochs, minibatches: not one batch more


def test_it_settles_by_the_numbers_of_its_records(tokenizer):
    """With a window of 2 the change is the difference of two rollouts."""
    _, watch = walk(tokenizer, [0.4, 0.1], most=3)
    one, two, three, *_ = watch.records
    assert two["path/kl_change"] == two["kl/sequence_nats"] - one["kl/sequence_nats"]
    errors = (two["kl/sequence_nats_se"], three["kl/sequence_nats_se"])
    assert three["path/kl_change_se"] == pytest.approx((errors[0] ** 2 + errors[1] ** 2) ** 0.5)
    objective = [row["ppo/score"] - 0.4 * row["kl/sequence_nats"] for row in (one, two)]
    assert two["path/objective_change"] == pytest.approx(objective[1] - objective[0], abs=1e-6)


def test_a_point_is_the_path_cut_short(tokenizer):
    for settings in (
        {"lr_warmup": 0.5},
        {"restart_lr": True, "lr_schedule": "cosine", "lr_warmup": 0.5},
    ):
        _, whole = walk(tokenizer, **settings)
        _, cut = walk(tokenizer, GRID[:2], **settings)
        assert whole.records[:4] == cut.records
        assert len(cut.weights) == 4
        assert all(map(torch.equal, whole.weights, cut.weights))
        assert not torch.equal(whole.weights[-1], cut.weights[-1])


def test_the_warm_up_of_the_values_counts_for_no_point(tokenizer):
    module, watch = walk(tokenizer, critic_warmup=2)
    assert module.iteration == 8
    assert [row["path/held"] for row in watch.records] == [0, 0, 1, 2, 1, 2, 1, 2]
    assert [row["kl/coef"] for row in watch.records] == [0.4] * 4 + [0.2] * 2 + [0.1] * 2


def test_the_rates_begin_anew_or_stay(tokenizer):
    """One step an iteration; a point has 4, half of them warm-up."""
    one = {"inner_epochs": 1, "minibatch_size": 16, "lr_warmup": 0.5, "lr": 0.01, "most": 4}

    def rates(**given):
        _, watch = walk(tokenizer, [0.2, 0.1], **one, **given)
        return pytest.approx([row["ppo/lr"] / 0.01 for row in watch.records])

    assert rates(restart_lr=True, lr_schedule="linear") == [0.5, 1, 1, 0.5] * 2
    assert [0.5, *[1] * 7] == rates()
    # of a shorter point the schedule is shorter: 4 * 0.5 iterations
    assert rates(restart_lr=True, lr_schedule="linear", shrink=0.5) == [0.5, 1, 1, 0.5, 1, 1]
    # the first point's schedule has the warm-up of the values in it: 6 iterations
    assert rates(restart_lr=True, lr_schedule="linear", critic_warmup=2) == [
        1 / 3,
        2 / 3,
        1,
        1,
        2 / 3,
        1 / 3,
        0.5,
        1,
        1,
        0.5,
    ]


def test_the_optimizer_begins_anew_with_each_point(tokenizer):
    _, kept = walk(tokenizer)
    _, anew = walk(tokenizer, keep_optimizer=False)
    for iteration in range(1, 7):
        states = [watch.begun[iteration][1] for watch in (kept, anew)]
        assert bool(states[0]["policy"]) is (iteration > 1)
        assert bool(states[1]["policy"]) is (iteration % 2 == 0)
        assert bool(states[1]["values"]) is (iteration % 2 == 0)


def test_the_value_model_begins_anew_from_its_start(tokenizer):
    module, anew = walk(tokenizer, keep_values=False)
    _, kept = walk(tokenizer)
    start = anew.begun[1][2]
    for iteration in range(1, 7):
        coef, states, values = anew.begun[iteration]
        at_start = all(map(torch.equal, values, start))
        assert at_start is (iteration % 2 == 1)
        assert coef == GRID[(iteration - 1) // 2]
        assert bool(states["policy"]) is (iteration > 1)
        assert bool(states["values"]) is (iteration % 2 == 0)
        assert all(map(torch.equal, kept.begun[iteration][2], start)) is (iteration == 1)
    assert not all(map(torch.equal, module.value_model.parameters(), start))


def test_no_path_asks_for_nothing(tokenizer):
    module = make(tokenizer)
    assert module.path is None
    assert not module.may_end_early
    assert (module.after_update(), module.ends_point()) == ({}, False)

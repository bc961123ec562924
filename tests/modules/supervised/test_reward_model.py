import math
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.collate import collate_preferences, encode_preferences
from rlhf.data.conversations import asked
from rlhf.data.lengths import Limit
from rlhf.data.loaders import MicroBatches, ShuffledBatches, packs
from rlhf.data.records import Preference
from rlhf.models.load import scalar_model_from
from rlhf.models.training.features import Features
from rlhf.models.training.partial import train_only
from rlhf.modules.supervised.reward_model import RewardModule, calibration_error
from rlhf.stages.rows import tokens_of
from tests.conftest import tiny
from tests.training import fit
from tests.turns import preference, rendering

PAIRS = [
    preference("a b", " c", " d e", margin=0.5),
    preference("a", " c d e f", " g"),
    preference("h", " c", " g"),
]


def make(policy, tokenizer, size=3, **settings):
    def collate(rows):
        return collate_preferences(rows, 0)

    encoded = encode_preferences(rendering(tokenizer), PAIRS, Limit(most=20))
    module = RewardModule(
        scalar_model_from(policy, seed=0),
        make_optimizer=torch.optim.SGD,
        heldout=lambda: packs(encoded, collate, at_once=AtOnce(rows=size), tokens=tokens_of),
        epochs=1,
        **settings,
    )
    return module, collate(encoded)


def test_rm_loss(policy, tokenizer):
    """-log sigmoid(r_w - r_l - margin) + c (r_w + r_l)^2, mean over pairs, by hand."""
    module, batch = make(policy, tokenizer, margin=True, centering=0.1)
    chosen, rejected = (x.detach() for x in module.scores(batch))
    pairs = zip(chosen.tolist(), rejected.tolist(), [0.5, 0.0, 0.0], strict=True)
    expected = [
        math.log1p(math.exp(-(won - lost - m))) + 0.1 * (won + lost) ** 2 for won, lost, m in pairs
    ]
    assert float(module.loss(chosen, rejected, batch)) == pytest.approx(sum(expected) / 3, abs=1e-5)
    without, _ = make(policy, tokenizer)
    assert float(without.loss(chosen + 5, rejected + 5, batch)) == pytest.approx(
        float(without.loss(chosen, rejected, batch)), abs=1e-5
    )


LONG = "a b c d e f g h a c e g b d f h"
ALIKE = [
    preference(LONG, " c", " d e"),
    preference(LONG, " c d e f", " c d g"),
    preference(f"h {LONG}", " c", " c d"),
    preference("h", " c", " g"),
]


def test_scores_and_gradient_are_those_of_padded_rows(tokenizer, architecture):
    """Whatever the layout, and whatever the two texts of a pair, and of two pairs, share: the
    network called on whole rows with their mask, one side after the other."""
    encoded = encode_preferences(rendering(tokenizer), ALIKE, Limit(most=40))
    batch = collate_preferences(encoded, 0)
    module, _ = make(tiny(tokenizer, architecture), tokenizer, centering=0.1)

    def alone(tokens, mask):
        named = {"input_ids": tokens, "attention_mask": mask.long(), "use_cache": False}
        states = module.model.network.base_model(**named).last_hidden_state
        return module.model.read(states[torch.arange(len(mask)), mask.sum(1) - 1])

    padded = alone(batch.chosen, batch.chosen_mask), alone(batch.rejected, batch.rejected_mask)
    ours = module.scores(batch)
    for one, other in zip(padded, ours, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    losses = [module.loss(*scores, batch) for scores in (padded, ours)]
    weights = [*module.model.parameters()]
    gradients = [torch.autograd.grad(loss, weights, allow_unused=True) for loss in losses]
    for one, other in zip(*gradients, strict=True):
        assert (one is None and other is None) or torch.allclose(one, other, atol=1e-5, rtol=1e-4)


def test_accuracy_counts_pairs_whatever_the_batches(policy, tokenizer):
    one, three = (
        make(policy, tokenizer, size=1)[0].evaluate(),
        make(policy, tokenizer, size=3)[0].evaluate(),
    )
    assert one["val/accuracy"] == pytest.approx(three["val/accuracy"])
    assert one["val/loss"] == pytest.approx(three["val/loss"], abs=1e-5)
    assert one["val/accuracy"] * 3 == pytest.approx(round(one["val/accuracy"] * 3))


def test_calibration_error_by_hand():
    """Two pairs at p = sigmoid(2) = 0.8808, one right and one wrong: |0.5 - 0.8808|; a third
    sure and right adds nothing."""
    p = 1 / (1 + math.exp(-2))
    assert calibration_error(torch.tensor([2.0, -2.0])) == pytest.approx(p - 0.5, abs=1e-6)
    assert calibration_error(torch.tensor([2.0, -2.0, 40.0])) == pytest.approx(
        (p - 0.5) * 2 / 3, abs=1e-6
    )


def test_split_invariance_of_an_epochs_loss_and_accuracy(policy, tokenizer):
    """17 pairs in batches of 16 and 1, at a learning rate that moves nothing: the accuracy and loss
    of the epoch are those of the 17, not the mean of two batches' means."""
    words = "abcdefgh"
    pairs = [
        Preference(
            prompt=asked(words[i % 8]),
            chosen=f" {words[i * 3 % 8]}",
            rejected=f" {words[-1 - i % 8]} {words[i % 5]}",
        )
        for i in range(17)
    ]
    encoded = encode_preferences(rendering(tokenizer), pairs, Limit(most=20))
    module, _ = make(policy, tokenizer)
    module.make_optimizer = lambda params: torch.optim.SGD(params, lr=0.0)
    batches = [collate_preferences(part, 0) for part in (encoded[:16], encoded[16:])]
    fit(module, batches)
    chosen, rejected = (x.detach() for x in module.scores(collate_preferences(encoded, 0)))
    right = int((chosen > rejected).sum())
    assert 0 < right < 17
    assert module.record["train/accuracy"] == pytest.approx(right / 17)
    expected = float(module.loss(chosen, rejected, batches[0]))
    assert module.record["train/loss"] == pytest.approx(expected, abs=1e-6)


def test_a_head_on_a_frozen_backbone_reads_the_same_from_features(policy, tokenizer):
    """Loss, gradient of the head and a trained epoch are those of reading every text anew."""
    rows = encode_preferences(rendering(tokenizer), PAIRS, Limit(most=20))
    texts = [side.ids for pair in rows for side in (pair.chosen, pair.rejected)]
    modules = []
    for kept in (False, True):
        module, batch = make(policy, tokenizer)
        train_only(module.model.model, "head")
        module.features = Features(module.model, texts, at_once=AtOnce(rows=2)) if kept else None
        before = [p.detach().clone() for p in module.model.model.base_model.parameters()]
        fit(module, [batch, batch])
        for old, new in zip(before, module.model.model.base_model.parameters(), strict=True):
            assert torch.equal(old, new)
        modules.append(module)
    anew, read = modules
    assert torch.allclose(anew.model.head.weight, read.model.head.weight, atol=1e-6)
    assert not torch.equal(read.model.head.weight, make(policy, tokenizer)[0].model.head.weight)
    assert anew.record["val/loss"] == pytest.approx(read.record["val/loss"], abs=1e-5)


@pytest.mark.parametrize("limit", [{"rows": 1}, {"rows": 2}, {"tokens": 14}])
@pytest.mark.parametrize("settings", [{}, {"margin": True, "centering": 0.3}])
def test_accum_invariance_of_the_reward_model(tokenizer, limit, settings):
    """Five pairs in steps of 3 and 2: weights, loss, accuracy and norms are those of whole
    batches."""
    pairs = [*PAIRS, preference("a b c", " d", " e f g h"), preference("c", " a", " b a", margin=2)]
    encoded = encode_preferences(rendering(tokenizer), pairs, Limit(most=20))
    collate = partial(collate_preferences, fill=0)

    def trained(**limits):
        at_once = AtOnce(**limits)
        module = RewardModule(
            scalar_model_from(tiny(tokenizer), seed=0),
            make_optimizer=partial(torch.optim.SGD, lr=0.02),
            heldout=lambda: packs(encoded, collate, at_once=at_once, tokens=tokens_of),
            epochs=2,
            steps=2,
            **settings,
        )
        steps = ShuffledBatches(
            encoded, 3, collate, seed=0, stage="rm", epoch=lambda: module.iteration
        )
        loader = MicroBatches(steps, at_once, tokens=tokens_of, began=module.accumulate)
        return fit(module, loader if limits else steps)

    whole, split = trained(), trained(**limit)
    assert whole.trainer.global_step == split.trainer.global_step == 4
    assert split.record == pytest.approx(whole.record, abs=1e-5)
    for one, other in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)

"""NaN and infinities in a rollout: named, or left out as if they had never been there."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.rollout.engines.torch import TorchEngine
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.rundir.errors import NonFinite
from tests.modules.algorithms.test_ppo import fewer_letters, first_step, gradients, make, train
from tests.turns import stops

ROW = 5  # of 16


class FaultyGold:
    """`value` for one of 16 responses, in the rollouts counted in `at` (all where it is None)."""

    def __init__(self, value, at=None):
        self.value, self.at, self.calls = value, at, 0

    def __call__(self, prompts, responses):
        scores = fewer_letters(prompts, responses)
        if len(scores) == 16:
            self.calls += 1
            if self.at is None or self.calls in self.at:
                scores[ROW] = self.value
        return scores


class Without:
    """An engine whose rollouts lack the row."""

    def __init__(self, engine):
        self.engine = engine

    def respond(self, prompts, sampling, generator):
        rollout = self.engine.respond(prompts, sampling, generator)
        if len(prompts) < 16:
            return rollout
        return rollout.rows(torch.tensor([row for row in range(16) if row != ROW]))


def judged_by(module, gold):
    module.parts = replace(
        module.parts,
        judges=Judges(
            tokenizer=module.parts.judges.tokenizer,
            stops=stops(module.parts.judges.tokenizer),
            gold=gold,
        ),
    )
    return module


def without_the_row(module):
    module.parts = replace(module.parts, engine=Without(module.parts.engine))
    return module


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39])
def test_finite_or_nothing_stops_with_the_row_and_its_judge(tokenizer, value):
    module = judged_by(make(tokenizer), FaultyGold(value))
    before = [p.clone() for p in module.parameters()]
    with pytest.raises(NonFinite) as error:
        train(module)
    assert str(error.value).startswith("ppo, iteration 1: score of the gold reward: ")
    assert "in 1 of 16 responses (row 5, to 'c'). ppo.on_nonfinite=drop" in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("micro", [None, 4, 1])
@pytest.mark.parametrize(
    "aggregation", ["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
)
def test_finite_or_nothing_drop_equals_a_batch_without_the_row(tokenizer, aggregation, micro):
    """Gradient, advantages and metrics; 15 rows make 15 micro-batches of one."""
    settings = {"aggregation": aggregation, "reference_seed": 1, "minibatch_size": 16}
    dropped = make(tokenizer, on_nonfinite="drop", micro_batch_size=micro, **settings)
    dropped = judged_by(dropped, FaultyGold(math.nan))
    without = without_the_row(make(tokenizer, **settings))
    steps = first_step(dropped)
    assert len(steps) == -(-15 // (micro or 16)) == steps[0].splits
    assert steps[0].step_sequences == 15
    expected = gradients(without, first_step(without))
    assert torch.allclose(gradients(dropped, steps), expected, atol=1e-5, rtol=1e-4)
    if micro is None:
        one, other = dropped.experience.advantages, without.experience.advantages
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
        own = ("rollout/nonfinite", "rollout/responses")
        same = {k: v for k, v in dropped.collected.items() if k not in own}
        assert same == pytest.approx({k: without.collected[k] for k in same}, rel=1e-5, abs=1e-5)
        assert dropped.steering.sequence_nats == pytest.approx(without.steering.sequence_nats)
        assert dropped.steering.episodes == without.steering.episodes == 15
    assert dropped.collected["rollout/nonfinite"] == 1
    assert without.collected["rollout/nonfinite"] == 0


def test_finite_or_nothing_drop_trains_as_without_the_row(tokenizer):
    """Two iterations through Lightning give the same weights; only a forward pass over 16 rows and
    one over 15 may round differently."""
    settings = {"minibatch_size": 16, "reference_seed": 1}
    dropped = train(
        judged_by(make(tokenizer, on_nonfinite="drop", **settings), FaultyGold(math.inf))
    )
    without = train(without_the_row(make(tokenizer, **settings)))
    assert dropped.trainer.global_step == without.trainer.global_step == 4
    for a, b in zip(dropped.parameters(), without.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert dropped.record["episodes"] == 32 and dropped.record["rollout/nonfinite"] == 1


@pytest.mark.parametrize(("micro", "accumulate"), [(None, 1), (4, 2), (1, 8)])
def test_a_dropped_row_changes_no_number_of_steps(tokenizer, micro, accumulate):
    """2 iterations of 2 epochs of 2 minibatches, of 8 and 7 rows."""
    module = make(tokenizer, on_nonfinite="drop", micro_batch_size=micro)
    train(judged_by(module, FaultyGold(math.nan)), accumulate=accumulate)
    assert module.trainer.global_step == 8


def test_at_most_k_iterations_in_a_row(tokenizer):
    """Rollouts 1, 2, 4 and 5 are faulty: two in a row are allowed, and 3 begins anew."""
    settings = {"on_nonfinite": "drop", "iterations": 5}
    module = make(tokenizer, max_nonfinite=2, **settings)
    train(judged_by(module, FaultyGold(math.nan, at=(1, 2, 4, 5))))
    assert module.finite.in_a_row == 2 and module.iteration == 5
    fresh = make(tokenizer, max_nonfinite=2, **settings)
    fresh.load_extra_state(module.extra_state())
    assert fresh.finite.in_a_row == 2
    module = judged_by(make(tokenizer, max_nonfinite=1, **settings), FaultyGold(math.nan))
    with pytest.raises(NonFinite, match="iteration 2 in a row, and ppo.max_nonfinite is 1"):
        train(module)


def test_nothing_is_left(tokenizer):
    module = make(tokenizer, on_nonfinite="drop")
    module = judged_by(module, lambda prompts, responses: [math.nan] * len(prompts))
    with pytest.raises(NonFinite, match="iteration 0, evaluation: .*No response is left"):
        module.evaluate()
    with pytest.raises(NonFinite, match="No response is left"):
        train(module)


def test_models_are_named_by_their_part(tokenizer):
    """A weight that became infinite: of the policy, the reference, the value model."""
    for part, name in (
        (lambda m: m.policy, "log-probabilities of the sampling policy: nan in 16 of 16"),
        (lambda m: m.parts.reference.model, "log-probabilities of the reference: nan"),
        (lambda m: m.value_model, "values of the value model: nan"),
    ):
        module = make(tokenizer, reference_seed=1, on_nonfinite="drop")
        with torch.no_grad():
            next(part(module).parameters()).fill_(math.inf)
        with pytest.raises(NonFinite, match=name):
            next(module.collect())


def test_a_scorer_of_ones_own_is_named(tokenizer):
    class Odd(GoldScorer):
        def score(self, responses):
            return torch.where(super().score(responses) > -9, math.nan, 0.0)

    with pytest.raises(NonFinite, match="score of the scorer: nan in 16 of 16 responses"):
        next(make(tokenizer, scorer=Odd()).collect())


def test_a_clip_hides_no_infinity(tokenizer):
    module = judged_by(make(tokenizer, scorer=GoldScorer(reward_clip=1.0)), FaultyGold(math.inf))
    with pytest.raises(NonFinite, match="gold reward: inf"):
        next(module.collect())


def test_an_advantage_that_makes_nan_of_finite_rewards_stops_either_way(tokenizer):
    class Broken:
        needs_values = False

        def __call__(self, rewards, values, mask, groups):
            from rlhf.modules.advantage import Advantages

            return Advantages(advantages=rewards / 0.0)

    module = make(tokenizer, advantage=Broken(), on_nonfinite="drop")
    with pytest.raises(NonFinite, match="ppo, iteration 1: advantages: "):
        next(module.collect())


def test_an_evaluation_leaves_the_row_out_too(tokenizer):
    """3 of 4 held-out responses count, and the count says so."""

    def gold(prompts, responses):
        return [math.nan, 1.0, 2.0, 6.0][: len(prompts)]

    module = judged_by(make(tokenizer, on_nonfinite="drop"), gold)
    metrics = module.evaluate()
    assert metrics["eval/reward/gold"] == 3 and metrics["eval/rollout/nonfinite"] == 1
    assert [sample["prompt"] for sample in module.samples] == ["c", "d e f"]
    with pytest.raises(NonFinite, match="ppo, iteration 0, evaluation: score of the gold reward"):
        judged_by(make(tokenizer), gold).evaluate()


def test_a_row_of_nan_is_drawn_without_touching_the_others(tokenizer):
    """A draw needs numbers: a policy that gives NaN for one prompt leaves the others' responses,
    and the NaN in its log-probabilities."""
    module = make(tokenizer)

    class Odd(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.config = model, model.config

        def forward(self, **inputs):
            output = self.model(**inputs)
            output.logits[1] = math.nan
            return output

    engine = module.parts.engine
    odd = TorchEngine(Odd(module.policy), engine.stops, engine.pad)
    prompts, sampling = module.parts.prompts.heldout, module.settings.sampling
    rollout = odd.respond(prompts, sampling, torch.Generator().manual_seed(0))
    bad = torch.isnan(rollout.logp).any(1)
    assert bad.tolist() == [False, True, False, False]
    assert int(rollout.tokens.max()) < module.policy.config.vocab_size


def test_a_coefficient_that_is_nan_is_the_controllers(tokenizer):
    module = make(tokenizer, on_nonfinite="drop")
    module.kl.controller.coef = math.nan
    with pytest.raises(NonFinite, match="iteration 1: the KL coefficient of its controller is nan"):
        next(module.collect())


class Diverges(Fixed):
    def update(self, sequence_nats, episodes, *, unit="sequence"):
        self.coef = math.nan


def test_a_coefficient_that_is_no_number_stops_the_iteration_that_made_it(tokenizer):
    """Before its checkpoint is saved: the next command would go on from it."""
    module = make(tokenizer, kl=KLPenalty(Diverges(0.1), K1(), Reward(), SFT()))
    with pytest.raises(NonFinite, match="iteration 1: the KL coefficient of its controller is nan"):
        train(module)

import math
from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Reward
from rlhf.kl.reference import SFT
from rlhf.modules.minibatches import steps_of
from rlhf.modules.old_policy import Drift, is_recomputed
from rlhf.ranks.group import ALONE
from rlhf.rollout.engines.base import Sampling
from rlhf.types import Minibatch
from tests.modules.algorithms.test_ppo import first_step, gradients, make, train
from tests.modules.test_minibatches import draws, experience

ROUNDING = 1e-5  # nats: of one token's log-probability, drawn step by step or read at once
PLAIN = KLPenalty(Fixed(0.1), K1(), Reward(), SFT())


def own_estimator(logp, ref_logp, exact_kl=None):
    return logp - ref_logp


@pytest.mark.parametrize(
    ("kl", "sampling", "dtype", "settings", "expected"),
    [
        (PLAIN, {}, torch.float32, {}, False),
        (PLAIN, {"temperature": 0.5}, torch.float32, {}, False),
        (PLAIN, {}, torch.float32, {"old_logp": "recomputed"}, True),
        (PLAIN, {"top_k": 3}, torch.float32, {}, True),
        (PLAIN, {"top_p": 0.9}, torch.float32, {}, True),
        (PLAIN, {}, torch.bfloat16, {}, True),
        (KLPenalty(Fixed(0.1), Exact(), Both(), SFT()), {}, torch.float32, {}, True),
        # one's own may read all that it gets
        (KLPenalty(Fixed(0.1), own_estimator, Reward(), SFT()), {}, torch.float32, {}, True),
    ],
)
def test_the_samplers_numbers_serve_where_they_are_those_of_training(
    tokenizer, kl, sampling, dtype, settings, expected
):
    module = make(tokenizer, sampling=Sampling(max_new_tokens=6, **sampling), **settings)
    rollout = module.respond(module.parts.prompts.heldout, "rollout", 1)
    assert is_recomputed(rollout, module.settings, kl, dtype) == expected
    nobodys = replace(rollout, entropy=None)
    assert is_recomputed(nobodys, module.settings, kl, dtype)


def test_with_the_samplers_numbers_the_policy_reads_no_rollout(tokenizer):
    module = make(tokenizer)
    rollout = module.respond(module.parts.prompts.draw(1), "rollout", 1)
    passes = []
    module.policy.register_forward_hook(lambda *a: passes.append(1))
    scored = module.score(rollout)
    assert not passes and scored.exact_kl is None and not scored.recomputed
    assert torch.equal(scored.logp, rollout.logp)
    assert torch.equal(scored.entropy, rollout.entropy)


def test_sampled_and_recomputed_train_alike(tokenizer):
    """The gradient of the first step, and a whole run, to rounding."""
    sampled, again = (
        make(tokenizer, reference_seed=1, old_logp=name) for name in ("sampled", "recomputed")
    )
    one, two = (gradients(module, first_step(module)) for module in (sampled, again))
    assert torch.allclose(one, two, atol=1e-5, rtol=1e-4)
    exact = {f"kl/{unit}_nats_exact{e}" for unit in ("sequence", "token") for e in ("", "_se")}
    assert again.collected.keys() - sampled.collected.keys() == {
        *exact,
        "rollout/logp_gap",
        "rollout/logp_off",
    }
    one, two = (
        train(make(tokenizer, reference_seed=1, old_logp=name)).record
        for name in ("sampled", "recomputed")
    )
    assert two.keys() - one.keys() == exact
    assert "eval/kl/sequence_nats_exact" in one  # evaluations read all
    assert {name: two[name] for name in one} == pytest.approx(one, rel=1e-3, abs=1e-4)


def test_the_first_kl_is_zero_to_rounding_and_exactly_where_both_read(tokenizer):
    """Policy and reference have the same weights: the sampler's log-probabilities differ from the
    reference's by rounding, at most the gap a token; what both read, by nothing."""
    for name in ("sampled", "recomputed"):
        module = make(tokenizer, old_logp=name)
        assert module.evaluate()["eval/kl/sequence_nats"] == 0.0
        first_step(module)
        kl, length = (module.collected[n] for n in ("kl/sequence_nats", "response/length"))
        assert abs(kl) <= ROUNDING * length and (name == "sampled" or kl == 0.0)


@pytest.mark.parametrize("micro", [None, 3])
def test_the_first_step_tells_a_sampler_that_is_off(tokenizer, micro):
    """By 0.25 nats at one token of the rollout, which one of the micro-batches has."""
    module = make(tokenizer, minibatch_size=16, micro_batch_size=micro)
    respond = module.respond

    def off(*arguments):
        rollout = respond(*arguments)
        logp = rollout.logp.clone()
        logp[5, 0] += 0.25
        return replace(rollout, logp=logp)

    module.respond = off
    for batch in first_step(module):
        module.training_step(batch, 0)
    metrics = module.drift.metrics()
    assert metrics["rollout/logp_gap"] == pytest.approx(0.25, abs=1e-5)
    assert metrics["rollout/logp_off"] == 1.0


def test_drift_by_hand(tokenizer):
    """Two epochs of two steps of two tokens: the KL of each step, and pooled of the last epoch. A
    token that is now less likely by the factor 1 / 2 has k3 = 1/2 - 1 + log 2 = 0.1931."""
    made, k3 = experience(tokenizer, [2, 2]), math.log(2) - 0.5
    drift, at = Drift(ALONE, sampled=True), torch.tensor([[math.log(0.5), 0.0]])

    def step(epoch, moved):
        batch = Minibatch(
            experience=made.rows(torch.tensor([0])),
            step_tokens=2,
            step_sequences=1,
            splits=1,
            epoch=epoch,
        )
        return drift.add(batch, moved * at)

    assert step(0, 0.0) == 0.0 and step(0, 1.0) == pytest.approx(k3 / 2)
    assert drift.metrics()["trust_region/kl"] == pytest.approx(k3 / 4)
    assert step(1, 1.0) == pytest.approx(k3 / 2)  # the pool begins anew
    assert step(1, 0.0) == 0.0
    assert drift.metrics()["trust_region/kl"] == pytest.approx(k3 / 4)
    assert (
        drift.metrics()["rollout/logp_gap"] == 0.0
    )  # the first step alone, before any weight moved


def test_drift_of_a_step_is_known_with_its_last_micro_batch(tokenizer):
    made = experience(tokenizer, [3, 1])
    drift = Drift(ALONE, sampled=False)
    (only,) = steps_of(made, draws(1), 2, AtOnce(rows=1))
    one, two = only.minibatches(made)
    assert drift.add(one, torch.full((1, 3), math.log(0.5))) is None
    nats = drift.add(two, torch.full((1, 3), math.log(0.5)))
    assert nats == pytest.approx(math.log(2) - 0.5)  # of four tokens, all alike
    assert "rollout/logp_gap" not in drift.metrics()

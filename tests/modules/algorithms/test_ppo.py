"""The PPO module on a random policy of two layers, without a trainer where the loss alone
matters and with one where the loop does."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from rlhf.at_once import AtOnce
from rlhf.functional.masking import masked_mean
from rlhf.kl.controller import Adaptive, Fixed, Linear
from rlhf.kl.estimator import K1, K2, K3, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss, Reward, SequenceLoss
from rlhf.kl.reference import EMA, SFT, Synced
from rlhf.models.load import scalar_model_from
from rlhf.models.policy import PolicyReader
from rlhf.modules.advantage import GAE, Advantages
from rlhf.modules.algorithms.ppo import PPOModule
from rlhf.modules.parts import (
    CollectedMinibatches,
    EvaluationSettings,
    OnlineParts,
    OnlineSettings,
    PromptSource,
)
from rlhf.modules.trust_region import EarlyStop, Penalty, Unlimited
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer, Judges
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch, stops

DEFAULTS = {
    "iterations": 2,
    "minibatch_size": 8,
    "micro_batch_size": None,
    "inner_epochs": 2,
    "policy_clip": 0.2,
    "value_clip": 0.2,
    "value_coef": 0.5,
    "entropy_coef": 0.0,
    "aggregation": "token_mean",
    "critic_warmup": 0,
    "on_nonfinite": "stop",
    "max_nonfinite": 3,
    "lr_schedule": "constant",
    "lr_warmup": 0.0,
}


def fewer_letters(prompts, responses):
    return [-len(r) / 4 for r in responses]


def optimizer(policy, values, lr=1e-2):
    groups = [{"params": model.parameters()} for model in (policy, values) if model is not None]
    return torch.optim.Adam(groups, lr=lr, eps=1e-5, fused=True)


def make(
    tokenizer,
    *,
    kl=None,
    trust_region=None,
    reference_seed=0,
    lr=1e-2,
    seed=0,
    eval_every=1,
    sampling=None,
    scorer=None,
    start=None,
    valued=True,
    advantage=None,
    algorithm=PPOModule,
    demonstrations=None,
    **settings,
):
    policy, reference = tiny(tokenizer), tiny(tokenizer, seed=reference_seed).requires_grad_(False)
    prompts = ["a b", "c", "d e f", "g"] * 4
    sampling = sampling or Sampling(max_new_tokens=6)
    reader = PolicyReader(model=reference, temperature=sampling.temperature, at_once=AtOnce(rows=8))
    return algorithm(
        parts=OnlineParts(
            policy=policy,
            value_model=scalar_model_from(policy, seed=0) if valued else None,
            reference=reader,
            start=reader if start is None else replace(reader, model=start),
            engine=engine_of(policy, tokenizer),
            judges=Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=fewer_letters),
            scorer=scorer or GoldScorer(),
            prompts=PromptSource(
                draw=lambda i: prompt_batch(tokenizer, prompts),
                heldout=prompt_batch(tokenizer, prompts[:4]),
                training=lambda: prompt_batch(tokenizer, prompts[:4]),
            ),
            demonstrations=demonstrations,
            make_optimizer=partial(optimizer, lr=lr),
        ),
        kl=kl or KLPenalty(Fixed(0.1), K1(), Reward(), SFT()),
        trust_region=trust_region or Unlimited(),
        advantage=advantage or GAE(gamma=1.0, lam=0.95, whiten=True, whiten_rewards=False),
        settings=OnlineSettings(
            **{**DEFAULTS, **settings},
            evaluation=EvaluationSettings(every=eval_every, prompts=4, samples=2),
            sampling=sampling,
            seed=seed,
        ),
    )


def train(module, accumulate=1):
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=module.iterations,
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, CollectedMinibatches(module))
    return module


def gradients(module, batches):
    module.zero_grad()
    for batch in batches:
        (module.training_step(batch, 0) / batch.splits).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def first_step(module):
    """The micro-batches of the first optimizer step."""
    collected = module.collect()
    first = next(collected)
    return [first, *(next(collected) for _ in range(first.splits - 1))]


@pytest.mark.parametrize(
    "aggregation", ["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
)
def test_accum_invariance(tokenizer, aggregation):
    """The gradient of one optimizer step is the same for any micro-batch split, ragged lengths
    and all."""
    whole = make(tokenizer, aggregation=aggregation, reference_seed=1)
    expected = gradients(whole, first_step(whole))
    for micro in (4, 2, 1):
        module = make(tokenizer, aggregation=aggregation, reference_seed=1, micro_batch_size=micro)
        steps = first_step(module)
        assert len(steps) == 8 // micro
        assert torch.allclose(gradients(module, steps), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "aggregation", ["token_mean", "sequence_sum", "sequence_mean", "fixed_length"]
)
def test_accum_invariance_of_the_sequence_loss(tokenizer, aggregation):
    """A response is never cut by a split, so neither is its square."""

    def made(**settings):
        penalty = KLPenalty(Fixed(0.5), K2(), SequenceLoss(), SFT())
        return make(tokenizer, kl=penalty, aggregation=aggregation, reference_seed=1, **settings)

    whole, split = made(), made(micro_batch_size=2)
    expected = gradients(whole, first_step(whole))
    assert torch.allclose(gradients(split, first_step(split)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(max_new_tokens=6, temperature=0.5), Sampling(max_new_tokens=6, top_p=0.6, top_k=3)],
)
def test_temperature_and_cuts_leave_the_policys_own_kl_to_plain_responses(tokenizer, sampling):
    """eval/kl/plain is what an evaluation of the same policy without these settings measures;
    training is not touched by it."""
    module = make(tokenizer, reference_seed=1, sampling=sampling)
    plain = make(tokenizer, reference_seed=1)
    measured, other = module.evaluate(), plain.evaluate()
    names = [n.removeprefix("eval/kl/plain/") for n in measured if n.startswith("eval/kl/plain/")]
    assert {"sequence_nats", "sequence_nats_exact", "token_nats", "token_nats_se"} <= set(names)
    assert not [n for n in other if "plain" in n]
    again = plain.respond(plain.parts.prompts.heldout, "plain-evaluation", 0)
    view = plain.reader.view(plain.parts.start, again)
    assert measured["eval/kl/plain/sequence_nats"] == pytest.approx(
        float((view.logp - view.ref_logp).sum(1).mean()), rel=1e-5
    )
    assert measured["eval/kl/plain/sequence_nats"] != measured["eval/kl/sequence_nats"]


def test_grad_as_loss_in_one_unit_of_reward(tokenizer):
    """Whitened advantages: the sequence form is divided by the same std."""
    module = make(
        tokenizer, kl=KLPenalty(Fixed(0.5), K2(), SequenceLoss(), SFT()), reference_seed=1
    )
    batch = first_step(module)[0]
    module.training_step(batch, 0)
    d = ((batch.experience.logp - batch.experience.ref_logp) * batch.experience.mask).sum(1)
    by_hand = 0.5 * float(d.square().sum() / 2) / batch.step_tokens * batch.experience.reward_unit
    assert module.step_means()["kl_loss"] == pytest.approx(by_hand, rel=1e-4)
    assert batch.experience.reward_unit != 1.0


def test_accumulation_through_lightning_gives_the_same_policy(tokenizer):
    one = train(make(tokenizer, iterations=1, inner_epochs=1))
    two = train(make(tokenizer, iterations=1, inner_epochs=1, micro_batch_size=2), accumulate=4)
    for a, b in zip(one.policy.parameters(), two.policy.parameters(), strict=True):
        # Adam turns rounding in tiny gradients into steps; the signs agree
        assert torch.allclose(a, b, atol=2e-3)
    assert one.record["ppo/policy_loss"] == pytest.approx(two.record["ppo/policy_loss"], abs=1e-4)


@pytest.mark.parametrize("tokens", [1, 30])
def test_accum_invariance_by_tokens(tokenizer, tokens):
    """So many tokens a forward pass, one response at least: the loop counts the micro-batches that
    the rollout's length makes of a step, and the policy is that of whole steps."""
    settings = {"iterations": 2, "inner_epochs": 2}
    whole = train(make(tokenizer, **settings))
    split = train(make(tokenizer, **settings, micro_batch_tokens=tokens))
    assert len(first_step(make(tokenizer, **settings, micro_batch_tokens=tokens))) > 1
    assert whole.trainer.global_step == split.trainer.global_step == 8
    assert split.record == pytest.approx(whole.record, abs=1e-4)
    for one, other in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_the_ratio_of_the_first_minibatch_is_one(tokenizer):
    module = make(tokenizer)
    module.training_step(first_step(module)[0], 0)
    means = module.step_means()
    assert means["log_ratio_max"] < 1e-5 and means["clip_fraction"] == 0
    assert module.drift.metrics()["trust_region/kl"] < 1e-9
    assert module.moved(module.experience) < 1e-9


def test_local_vs_global(tokenizer):
    """Another reference changes the global KL; the local one is 0 until the policy moves."""
    records = []
    for seed in (0, 1):
        module = make(tokenizer, reference_seed=seed)
        module.training_step(first_step(module)[0], 0)
        records.append(
            (module.drift.metrics()["trust_region/kl"], module.collected["kl/sequence_nats"])
        )
    assert records[0][0] == records[1][0] < 1e-9
    assert abs(records[0][1]) < 1e-5 < abs(records[1][1])


def test_detach(tokenizer):
    """Nothing that is frozen has a gradient after a step: reference, rewards, old values."""
    module = make(tokenizer, reference_seed=1)
    step = first_step(module)[0]
    module.training_step(step, 0).backward()
    assert all(p.grad is None for p in module.parts.reference.model.parameters())
    for x in (
        step.experience.advantages,
        step.experience.returns,
        step.experience.values,
        step.experience.ref_logp,
    ):
        assert not x.requires_grad
    assert all(p.grad is not None for p in module.policy.parameters())


def test_frozen_models_are_in_no_checkpoint(tokenizer):
    module = make(tokenizer)
    names = module.state_dict()
    assert names and all(name.startswith(("policy.", "value_model.")) for name in names)


def test_critic_warmup_trains_the_value_model_alone(tokenizer):
    module = make(tokenizer, critic_warmup=1, iterations=1)
    before, value_before = (
        copy.deepcopy(module.policy.state_dict()),
        module.value_model.head.weight.clone(),
    )
    train(module)
    assert all(torch.equal(before[k], v) for k, v in module.policy.state_dict().items())
    assert not torch.equal(value_before, module.value_model.head.weight)


def test_early_stop_leaves_the_inner_epochs(tokenizer):
    """16 responses in minibatches of 8 and 5 inner epochs are 10 steps; a local KL target of
    nearly nothing ends them early."""
    steps = []
    for region in (Unlimited(), EarlyStop(target=1e-6)):
        module = make(tokenizer, iterations=1, inner_epochs=5, trust_region=region)
        train(module)
        steps.append(module.trainer.global_step)
    assert steps[0] == 10 and 2 <= steps[1] <= 4


@pytest.mark.parametrize("inner_epochs", [1, 3])
@pytest.mark.parametrize("minibatch", [4, 16])
def test_controller_once(tokenizer, inner_epochs, minibatch):
    """One update a rollout, however many epochs and minibatches: KL far above the target raises
    beta by the same factor."""
    kl = KLPenalty(Adaptive(0.1, target=0.01, horizon=160), K1(), Reward(), SFT())
    train(
        make(
            tokenizer, kl=kl, inner_epochs=inner_epochs, minibatch_size=minibatch, reference_seed=1
        )
    )
    assert kl.coef == pytest.approx(0.1 * (1 + 0.2 * 16 / 160) ** 2)


def test_controller_timing(tokenizer):
    """The coefficient logged at an iteration is the one that shaped it; the update shows in the
    next."""
    kl = KLPenalty(Adaptive(0.1, target=0.01, horizon=160), K1(), Reward(), SFT())
    module = make(tokenizer, kl=kl, iterations=1, reference_seed=1)
    train(module)
    assert module.record["kl/coef"] == 0.1 < kl.coef


@pytest.mark.parametrize(("estimator", "placement"), [(K3(), Loss()), (Exact(), Both())])
def test_kl_in_the_loss_has_a_gradient_of_its_own(tokenizer, estimator, placement):
    changed = []
    for coef in (0.0, 0.5):
        module = make(
            tokenizer, kl=KLPenalty(Fixed(coef), estimator, placement, SFT()), reference_seed=1
        )
        changed.append(gradients(module, first_step(module)))
    assert not torch.allclose(changed[0], changed[1], atol=1e-4)


@pytest.mark.parametrize(("micro", "splits"), [(None, 2), (4, 4), (1, 8)])
def test_two_networks_logits_are_of_half_the_rows(tokenizer, micro, splits):
    """In minibatches of 8: an exact KL in the loss keeps the reference's beside the policy's."""
    kl = KLPenalty(Fixed(0.5), Exact(), Both(), SFT())
    module = make(tokenizer, kl=kl, reference_seed=1, micro_batch_size=micro)
    assert [batch.splits for batch in first_step(module)] == [splits] * splits


def test_entropy_bonus_and_its_off_state(tokenizer):
    losses = {}
    for coef in (0.0, 0.1):
        module = make(tokenizer, entropy_coef=coef)
        step = first_step(module)[0]
        losses[coef] = float(module.training_step(step, 0).detach())
        means = module.step_means()
        assert ("entropy" in means) == (coef > 0)  # nothing computes it where nothing descends it
    entropy = means["entropy"]
    assert entropy == pytest.approx(
        float(step.experience.rollout.entropy.sum()) / step.step_tokens, rel=1e-4
    )
    assert losses[0.1] == pytest.approx(losses[0.0] - 0.1 * entropy, abs=1e-4)


def test_a_moving_reference_moves_and_is_saved(tokenizer):
    module = make(tokenizer, kl=KLPenalty(Fixed(0.1), K1(), Reward(), EMA(decay=0.5)), iterations=1)
    before = copy.deepcopy(module.parts.reference.model.state_dict())
    train(module)
    after = module.parts.reference.model.state_dict()
    assert any(not torch.equal(before[k], after[k]) for k in before)
    fresh = make(tokenizer, kl=KLPenalty(Fixed(0.1), K1(), Reward(), EMA(decay=0.5)))
    fresh.load_extra_state(module.extra_state())
    assert all(
        torch.equal(after[k], v) for k, v in fresh.parts.reference.model.state_dict().items()
    )


def test_evaluating_more_often_changes_no_training(tokenizer):
    often, seldom = (train(make(tokenizer, iterations=3, eval_every=n)) for n in (1, 3))
    for a, b in zip(often.policy.parameters(), seldom.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_policy_gets_better_at_its_reward(tokenizer):
    """Fewer letters pay: 12 iterations shorten the responses."""
    module = make(
        tokenizer, iterations=12, lr=3e-2, kl=KLPenalty(Fixed(0.0), K1(), Reward(), SFT())
    )
    first = module.evaluate()["eval/reward/gold"]
    assert train(module).record["eval/reward/gold"] > first + 0.3


def test_learning_rate_follows_the_schedule_from_the_iteration_alone(tokenizer):
    seen = []
    module = make(tokenizer, iterations=4, lr_schedule="linear", lr=1e-2)
    original = module.on_train_batch_start
    module.on_train_batch_start = lambda *a: (
        original(*a),
        seen.append(module.optimizers().param_groups[0]["lr"]),
    )[0]
    train(module)
    # 4 iterations of 4 steps
    assert seen == pytest.approx([1e-2 * (1 - k / 16) for k in range(16)])


def test_an_early_stop_does_not_depend_on_the_micro_batches(tokenizer):
    """The local KL of a whole step decides: as many optimizer steps for every split."""
    steps = set()
    for micro in (None, 4, 2):
        module = make(
            tokenizer,
            iterations=1,
            inner_epochs=6,
            micro_batch_size=micro,
            trust_region=EarlyStop(target=0.02),
            lr=3e-3,
        )
        train(module, accumulate=8 // (micro or 8))
        steps.add(module.trainer.global_step)
    assert len(steps) == 1 and steps.pop() < 12


def test_the_local_kl_is_that_of_the_whole_iteration(tokenizer):
    """Seen after the last step, so a single step an iteration is seen too."""
    region = Penalty(coef=1.0, target=1e-6)
    module = train(
        make(tokenizer, iterations=2, inner_epochs=1, minibatch_size=16, trust_region=region)
    )
    assert module.record["trust_region/kl_after"] > 1e-5
    assert module.record["trust_region/kl"] < 1e-9  # one step, which began where the rollout was
    assert region.coef == 4.0  # doubled twice


def test_the_first_iteration_trains_under_a_warm_up(tokenizer):
    module = make(tokenizer, iterations=1, lr_warmup=0.5)
    before = copy.deepcopy(module.policy.state_dict())
    train(module)
    assert any(not torch.equal(before[k], v) for k, v in module.policy.state_dict().items())


@pytest.mark.parametrize("reference", [Synced(every=1), EMA(decay=0.0)])
def test_evaluations_measure_the_kl_to_the_sft_policy_whatever_the_reference_does(
    tokenizer, reference
):
    kl, start = KLPenalty(Fixed(0.0), K1(), Reward(), reference), tiny(tokenizer)
    module = make(tokenizer, kl=kl, start=start, iterations=2)
    plain = make(tokenizer, kl=KLPenalty(Fixed(0.0), K1(), Reward(), SFT()), iterations=2)
    one, two = train(module).record, train(plain).record
    assert one["eval/kl/sequence_nats"] == two["eval/kl/sequence_nats"] != 0
    assert one["eval/kl/moving_reference_nats"] != one["eval/kl/sequence_nats"]
    assert "eval/kl/moving_reference_nats" not in two


def test_the_rule_for_missing_eos_counts_in_evaluations(tokenizer):
    rule = GoldScorer(missing_eos="set", missing_eos_value=-7.0)
    module, without = make(tokenizer, scorer=rule), make(tokenizer)
    rollout = module.respond(module.parts.prompts.heldout, "evaluation", 0)
    assert not rollout.ended.all()
    assert module.evaluate()["eval/ppo/score"] < without.evaluate()["eval/ppo/score"]


@pytest.mark.parametrize("inner_epochs", [1, 2])
@pytest.mark.parametrize("aggregation", ["token_mean", "sequence_mean"])
def test_split_invariance(tokenizer, inner_epochs, aggregation):
    """Whole minibatches, micro-batches of 4, of 3 (the last has 2) and of 1: the same weights and
    the same numbers, under a schedule that changes at every step."""
    results = []
    for micro in (None, 4, 3, 1):
        module = make(
            tokenizer,
            micro_batch_size=micro,
            inner_epochs=inner_epochs,
            aggregation=aggregation,
            lr_schedule="linear",
            reference_seed=1,
        )
        train(module, accumulate=-(-8 // (micro or 8)))
        results.append((torch.nn.utils.parameters_to_vector(module.parameters()), module.record))
    (weights, record), *others = results
    assert {"ppo/explained_variance", "ppo/clip_fraction", "trust_region/kl"} <= record.keys()
    assert "trust_region/kl_after" not in record and record["ppo/lr"] > 0
    assert record["ppo/grad_norm_max"] >= record["ppo/grad_norm"] > 0
    for own_weights, own_record in others:
        torch.testing.assert_close(own_weights, weights, rtol=0, atol=2e-5)
        assert own_record == pytest.approx(record, rel=1e-3, abs=1e-5)


def test_split_invariance_of_the_explained_variance_by_hand(tokenizer):
    """Values and returns of the rollout: 1 - var(R - V) / var(R) over all its tokens."""
    module = make(tokenizer, iterations=1, micro_batch_size=1)
    [*module.collect()]
    old = module.experience
    returns, errors = old.returns[old.mask].double(), (old.returns - old.values)[old.mask].double()
    expected = 1 - float(errors.var(correction=0) / returns.var(correction=0))
    train(module, accumulate=8)
    assert module.record["ppo/explained_variance"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("critic_warmup", [0, 1, 3])
def test_schedule_counts_every_iteration(tokenizer, critic_warmup):
    """The coefficient of iteration i is the same with and without a warm-up of the critic, and the
    last rollout is shaped by `final`."""
    kl = KLPenalty(Linear(0.1, 0.4, 4), K1(), Reward(), SFT())
    module, seen = make(tokenizer, kl=kl, iterations=4, critic_warmup=critic_warmup), []
    finish = module.finish_iteration
    module.finish_iteration = lambda: (seen.append(module.collected["kl/coef"]), finish())[1]
    train(module)
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_warm_up_of_the_critic_leaves_the_controller_alone(tokenizer):
    kl = KLPenalty(Adaptive(0.1, target=6.0, horizon=160), K1(), Reward(), SFT())
    train(make(tokenizer, kl=kl, iterations=2, critic_warmup=1))
    # one update, of a KL near 0
    assert kl.coef == pytest.approx(0.1 * (1 - 0.2 * 16 / 160), rel=1e-3)


def test_the_clip_shapes_the_training_reward_alone(tokenizer):
    module = make(tokenizer, scorer=GoldScorer(reward_clip=0.1))
    scored = module.score(module.respond(module.parts.prompts.draw(1), "rollout", 1))
    assert scored.raw_score.min() < -0.5 and scored.score.min() == pytest.approx(-0.1)
    plain = make(tokenizer)
    assert module.evaluate()["eval/ppo/score"] == plain.evaluate()["eval/ppo/score"] < -0.1


def test_a_loss_changes_nothing(tokenizer):
    """Seen twice it is the same, and no step was logged or watched."""
    module = make(tokenizer, reference_seed=1, trust_region=EarlyStop(target=1e-9))
    batch = first_step(module)[0]
    for parameter in module.policy.parameters():
        parameter.data.mul_(1.1)  # far from the policy that drew
    one, two = module.loss(batch, masked_mean), module.loss(batch, masked_mean)
    assert torch.equal(one.total, two.total) and not one.logp.requires_grad
    assert module.step_means() == {} and not module.stop_inner
    module.training_step(batch, 0)
    assert module.stop_inner and "policy_loss" in module.step_means()


def test_the_kl_that_steers_is_the_one_that_is_shown(tokenizer):
    module = make(tokenizer, reference_seed=1)
    first_step(module)
    assert module.steering.sequence_nats == module.collected["kl/sequence_nats"]
    assert module.steering.token_nats == module.collected["kl/token_nats"]
    assert module.steering.episodes == 16


class BatchMean:
    """Every token's advantage is the response's whole reward minus the mean over responses."""

    needs_values = False

    def __call__(self, rewards, values, mask, groups):
        assert values is None and len(groups) == len(rewards)
        total = rewards.sum(1, keepdim=True)
        return Advantages(advantages=(total - total.mean()) * mask)


def test_ppo_without_values_trains_no_value_model(tokenizer):
    module = train(make(tokenizer, valued=False, advantage=BatchMean()))
    assert [name for name in module.record if "value" in name or "variance" in name] == []
    assert len(module.optimizers().param_groups) == 1
    assert module.record["ppo/log_ratio_max"] > 0


def test_what_needs_values_is_refused_without_a_value_model(tokenizer):
    for refused in ({}, {"advantage": BatchMean(), "critic_warmup": 1}):
        with pytest.raises(ValueError, match="needs a value model"):
            make(tokenizer, valued=False, **refused)

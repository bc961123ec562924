"""The real PPO module on a problem of 40 responses: its loss's expected gradient beside the
exact gradient of the objective."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.callbacks.oracle import Oracle
from rlhf.config.build import build
from rlhf.config.compose import compose
from rlhf.data.tokenizers import symbols
from rlhf.functional.logprobs import token_logp
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, K2, K3, Abs, Exact, K1Clamped
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss, Reward, SequenceLoss
from rlhf.kl.reference import SFT
from rlhf.models.load import scalar_model_from
from rlhf.models.policy import PolicyReader, response_logits
from rlhf.modules.advantage import GAE
from rlhf.modules.algorithms.ppo import PPOModule
from rlhf.modules.exact import ExactView, Tree, angle, ascend
from rlhf.modules.parts import EvaluationSettings, OnlineParts, OnlineSettings, PromptSource
from rlhf.modules.trust_region import Unlimited
from rlhf.oracle import exact_sequence_kl, expected, mean_standing, objective, standings
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.rundir.errors import NonFinite
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch, stops

SETTINGS = {
    "iterations": 2,
    "minibatch_size": 64,
    "micro_batch_size": None,
    "inner_epochs": 1,
    "policy_clip": 0.2,
    "value_clip": None,
    "value_coef": 0.5,
    "entropy_coef": 0.0,
    "critic_warmup": 0,
    "on_nonfinite": "stop",
    "max_nonfinite": 3,
    "lr_schedule": "constant",
    "lr_warmup": 0.0,
}
PROMPTS = ["a b", "b"]


def likes_repeats(prompts, responses):
    return [
        float(r.count("a a")) - 0.5 * r.count("b") + 0.3 * len(p)
        for p, r in zip(prompts, responses, strict=True)
    ]


def make(
    estimator=None,
    placement=None,
    *,
    coef=0.3,
    whiten=False,
    lam=1.0,
    aggregation="sequence_sum",
    temperature=1.0,
    algorithm=PPOModule,
    advantage=None,
    demonstrations=None,
    moved=None,
):
    """Float64, a random value model, and a policy some way off its reference, which `moved` (a
    seed) is off the start, too."""
    tokenizer = symbols("ab")
    policy, reference = (
        tiny(tokenizer, "gpt2").double(),
        tiny(tokenizer, "gpt2", seed=1).double().requires_grad_(False),
    )
    prompts = prompt_batch(tokenizer, PROMPTS)
    start = reader = PolicyReader(model=reference, temperature=temperature, at_once=AtOnce(rows=64))
    if moved is not None:
        reader = replace(reader, model=tiny(tokenizer, "gpt2", seed=moved).double())
    module = algorithm(
        parts=OnlineParts(
            policy=policy,
            value_model=scalar_model_from(policy, seed=0).double(),
            reference=reader,
            start=start,
            engine=engine_of(policy, tokenizer),
            judges=Judges(tokenizer=tokenizer, stops=stops(tokenizer), gold=likes_repeats),
            scorer=GoldScorer(),
            prompts=PromptSource(draw=lambda i: prompts, heldout=prompts, training=lambda: prompts),
            demonstrations=demonstrations,
            make_optimizer=lambda *models: pytest.fail("nothing is trained here"),
        ),
        kl=KLPenalty(Fixed(coef), estimator or K1(), placement or Reward(), SFT()),
        trust_region=Unlimited(),
        advantage=advantage or GAE(gamma=1.0, lam=lam, whiten=whiten, whiten_rewards=False),
        settings=OnlineSettings(
            **SETTINGS,
            aggregation=aggregation,
            evaluation=EvaluationSettings(every=1, prompts=2, samples=0),
            sampling=Sampling(max_new_tokens=3, temperature=temperature),
            seed=0,
        ),
    )
    module.policy.eval()
    return module, ExactView(module, prompts)


def no_reward(prompts, responses):
    return [0.0] * len(responses)


def relative_error(found, true):
    return float((found - true).norm() / true.norm())


def test_the_tables_are_whole():
    _, view = make()
    logp, ref_logp, reward = view.tables()
    assert logp.shape == ref_logp.shape == reward.shape == (2, 40)
    torch.testing.assert_close(
        logp.exp().sum(-1), torch.ones(2, dtype=torch.float64), atol=1e-5, rtol=0
    )
    by_hand = likes_repeats(["a b"], ["a a a"])[0]
    row = view.rollout.tokens.tolist().index([2, 2, 2])
    assert reward.flatten()[row].item() == pytest.approx(by_hand)


def test_where_the_reference_moved_the_oracle_tells_of_the_start_and_gradients_of_the_reference():
    """What a run reached is beside the policy that it began with; what it descends is the KL to the
    reference in force."""
    (_, still), (module, view) = make(), make(moved=2)
    oracle = Oracle()
    oracle.view = still
    of_start = oracle.measure()
    oracle.view = view
    assert oracle.measure() == of_start and of_start["oracle/kl"] > 0.01
    in_force = view.tables(module.parts.reference)
    assert exact_sequence_kl(*in_force[:2]).mean() != pytest.approx(of_start["oracle/kl"], rel=0.01)
    assert relative_error(view.loss_gradient(), -view.objective_gradient()) < 1e-4
    assert relative_error(still.objective_gradient(), view.objective_gradient()) > 0.01


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_distinct_beginnings_have_every_response(temperature):
    """Of 2 prompts and 3 tokens that end nothing: 9 rows of 40 responses each, and the same
    gradient."""
    module, view = make(temperature=temperature)
    tree = Tree(view)
    assert tree.rollout.tokens.shape == (18, 3)
    torch.testing.assert_close(tree.logp().detach().double(), view.tables()[0], atol=1e-5, rtol=0)
    _, ref_logp, reward = view.tables()
    value = objective(reward, tree.logp().double(), ref_logp, module.kl.coef).mean()
    assert relative_error(view._gradient(value), view.objective_gradient()) < 1e-5


def test_exact_ascent_comes_to_the_optimum():
    module, view = make(coef=0.5)
    for parameter in module.policy.parameters():
        parameter.requires_grad_(True)
    before = mean_standing(standings(*view.tables(), 0.5))
    values = ascend(view, steps=60, lr=1e-2)
    after = mean_standing(standings(*view.tables(), 0.5))
    assert values[0].item() == pytest.approx(before.objective, abs=1e-4)
    assert after.share_of_gain > 0.95 and after.objective > values[0].item()
    assert values.shape == (60,) and after.objective == pytest.approx(values[-1].item(), abs=1e-2)


def test_the_sampler_agrees_with_the_tables():
    """4,000 sampled responses: mean KL and mean reward within 4 standard errors of the exact
    ones."""
    module, view = make()
    prompts = prompt_batch(module.parts.judges.tokenizer, PROMPTS * 2000)
    scored = module.score(module.respond(prompts, "rollout", 1))
    logp, ref_logp, reward = view.tables()
    kl = ((scored.logp - scored.ref_logp) * scored.rollout.mask).sum(1)
    pairs = [
        (kl, exact_sequence_kl(logp, ref_logp).mean()),
        (scored.score, expected(reward, logp).mean()),
    ]
    for sampled, exact in pairs:
        assert abs(sampled.mean() - exact) < 4 * sampled.std() / math.sqrt(len(sampled))


@pytest.mark.parametrize(
    ("estimator", "placement"), [(K1(), Reward()), (Exact(), Both()), (K2(), SequenceLoss())]
)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_ppo_ascends_the_objective(estimator, placement, temperature):
    """gamma = lam = 1, no whitening, sequence_sum: the expected first gradient is that of -J,
    whatever the value model says."""
    _, view = make(estimator, placement, temperature=temperature)
    assert relative_error(view.loss_gradient(), -view.objective_gradient()) < 1e-4


@pytest.mark.parametrize("preset", ["instructgpt", "exact", "sequence_k2"])
def test_grad_reward_vs_loss_of_the_presets(preset):
    """The pieces of kl=<preset> as the config builds them."""
    kl = compose([f"kl={preset}"]).kl
    view = make(build(kl.estimator), build(kl.placement))[1]
    assert relative_error(view.loss_gradient(), -view.objective_gradient()) < 1e-4


def test_grad_reward_vs_loss_of_sequences_on_the_module():
    """0.5 D^2 alone, without a reward: the gradient of the sequence KL. k3 of D: that of the
    forward KL."""
    for estimator, forward in ((K2(), False), (K3(), True)):
        module, view = make(estimator, SequenceLoss(), coef=1.0)
        judges = replace(module.parts.judges, gold=no_reward)
        module.parts = replace(module.parts, judges=judges)
        rows, parameters = view.rollout, list(module.policy.parameters())
        _, ref_logp, _ = view.tables()
        logits = response_logits(module.policy, rows.sequence, rows.attention, rows.tokens.shape[1])
        logp = view.by_prompt((token_logp(logits, rows.tokens) * rows.mask).double().sum(1))
        kl = exact_sequence_kl(ref_logp, logp) if forward else exact_sequence_kl(logp, ref_logp)
        true = torch.cat([g.flatten() for g in torch.autograd.grad(kl.mean(), parameters)])
        assert relative_error(view.loss_gradient(), true) < 1e-4


@pytest.mark.parametrize("aggregation", ["token_mean", "fixed_length"])
def test_grad_reward_vs_loss_keeps_the_trade_in_other_aggregations(aggregation):
    """The sequence form is scaled as the policy loss is, so the whole gradient stays that of J,
    by a factor."""
    _, view = make(K2(), SequenceLoss(), aggregation=aggregation)
    found, true = view.loss_gradient(), -view.objective_gradient()
    assert angle(found, true) < 0.01 and found.norm() < 0.9 * true.norm()


def test_flipping_the_sign_of_the_kl_shows():
    _, view = make()
    flipped, other = make()
    flipped.kl.controller.coef *= -1
    assert relative_error(other.loss_gradient(), -view.objective_gradient()) > 0.1


@pytest.mark.parametrize(
    ("estimator", "placement"),
    [
        (K2(), Reward()),
        (K3(), Reward()),
        (Abs(), Reward()),
        (K1Clamped(), Reward()),
        (K2(), Loss()),
        (K3(), Loss()),
        (Abs(), Loss()),
        (K3(), SequenceLoss()),
        (Abs(), SequenceLoss()),
    ],
)
def test_the_other_estimators_point_elsewhere(estimator, placement):
    _, view = make(estimator, placement)
    found, true = view.loss_gradient(), -view.objective_gradient()
    assert relative_error(found, true) > 0.01 and angle(found, true) > 0.5


def test_without_a_penalty_all_are_the_same():
    gradients = [
        make(e, p, coef=0.0)[1].loss_gradient()
        for e, p in ((K1(), Reward()), (K2(), Loss()), (Exact(), Both()))
    ]
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0])


def test_lam_below_one_leans_on_the_value_model():
    _, view = make(lam=0.5)
    assert relative_error(view.loss_gradient(), -view.objective_gradient()) > 0.01


def test_fixed_length_is_the_same_direction_and_sequence_mean_is_not():
    true = -make()[1].objective_gradient()
    fixed, mean = (
        make(aggregation=mode)[1].loss_gradient() for mode in ("fixed_length", "sequence_mean")
    )
    torch.testing.assert_close(fixed * 3, true, rtol=1e-4, atol=1e-6)
    assert angle(mean, true) > 0.5


def test_whitened_advantages_have_no_expectation_of_their_own():
    _, view = make(whiten=True)
    with pytest.raises(ValueError, match="whiten=false"):
        view.loss_gradient()


def test_looking_leaves_no_trace():
    module, view = make()
    view.loss_gradient()
    view.objective_gradient()
    assert module.step_means() == {} and not module.stop_inner
    assert all(p.grad is None for p in module.parameters())


def test_angle_by_hand():
    assert angle(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])) == pytest.approx(45.0)


def test_prompt_excluded():
    """Policy and reference differ on the prompt's second token too; the KL is that of the
    response's tokens alone."""
    module, view = make()
    rollout = view.rollout.rows(torch.arange(40))  # of the prompt "a b"
    sequence, width = rollout.sequence, rollout.prompt.tokens.shape[1]
    models, attention = (module.policy, module.parts.reference.model), rollout.attention.long()
    policy, reference = (
        token_logp(m(input_ids=sequence, attention_mask=attention).logits[:, :-1], sequence[:, 1:])
        for m in models
    )
    d = (policy - reference).detach()
    assert d[:, : width - 1].abs().min() > 0.01  # counting the prompt would show
    scored = module.score(rollout)
    expected_d = (d[:, width - 1 :] * rollout.mask).sum(1)
    counted = ((scored.logp - scored.ref_logp) * rollout.mask).sum(1).double()
    torch.testing.assert_close(counted, expected_d, atol=1e-5, rtol=1e-4)


def test_a_score_that_is_nan_is_named():
    module, view = make()
    judges = replace(module.parts.judges, gold=lambda p, r: [math.nan] * len(p))
    module.parts = replace(module.parts, judges=judges)
    with pytest.raises(NonFinite, match="every response, listed: score of the gold reward: nan"):
        view.tables()

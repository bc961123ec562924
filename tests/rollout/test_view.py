"""Whole rollouts of a random policy against a random reference."""

import math

import pytest
import torch

from rlhf.data.collate import collate_prompts, eos_id, pad_id
from rlhf.functional.advantages import gae
from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.models.load import scalar_model_from
from rlhf.randomness import generator
from rlhf.rollout.engines.torch import Sampling, generate
from rlhf.rollout.evaluate import evaluate, kl_metrics, mean_and_se
from rlhf.rollout.minibatch import minibatches
from rlhf.rollout.score import GoldScorer, Judges
from rlhf.rollout.view import AdvantageSettings, predict_values, to_experience, view_tokens
from rlhf.types import ScoredRollout
from tests.conftest import tiny

BETA = 0.3


def rollout_of(policy, tokenizer, count=16):
    return generate(
        policy,
        collate_prompts(tokenizer, ["a b", "c", "d e f", "g"] * (count // 4)),
        Sampling(max_new_tokens=6),
        eos=eos_id(tokenizer),
        pad=pad_id(tokenizer),
        generator=generator(0, "collect"),
    )


def scored_of(policy, reference, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    view = view_tokens(policy, reference, rollout, temperature=1.0, rows=5)
    values = predict_values(scalar_model_from(policy, seed=0), rollout, rows=7)
    score = torch.arange(len(rollout.tokens), dtype=torch.float32) / 4
    return ScoredRollout(
        rollout=rollout,
        logp=view.logp,
        ref_logp=view.ref_logp,
        kl=(view.logp - view.ref_logp),
        exact_kl=view.exact_kl,
        entropy=view.entropy,
        values=values,
        judged={"gold": score},
        raw_score=score,
        score=score,
    )


def penalty():
    return KLPenalty(Fixed(BETA), K1(), Reward(), SFT())


def test_kl_identity(policy, tokenizer):
    """The policy against itself: every estimate is 0, per token and in sum."""
    view = view_tokens(policy, policy, rollout_of(policy, tokenizer), temperature=1.0, rows=4)
    assert torch.equal(view.logp, view.ref_logp)
    assert float(view.exact_kl.abs().max()) < 1e-6


def test_kl_identity_fails_with_dropout(tokenizer):
    """The check above can fail: with dropout on, the policy is not even itself."""
    policy = tiny(tokenizer, "gpt2")
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    view = view_tokens(
        policy.train(), policy, rollout_of(policy, tokenizer), temperature=1.0, rows=16
    )
    assert float((view.logp - view.ref_logp).abs().max()) > 0.01


def test_views_do_not_depend_on_how_rows_are_split(policy, other_policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    one, many = (
        view_tokens(policy, other_policy, rollout, temperature=1.0, rows=n) for n in (16, 3)
    )
    for name in ("logp", "ref_logp", "exact_kl", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(many, name), atol=1e-5)


def test_mask_after_eos(policy, other_policy, tokenizer):
    """Tokens after the first EOS change no number that follows from a rollout, not by a bit."""
    rollout = rollout_of(policy, tokenizer)
    changed = type(rollout)(
        prompt=rollout.prompt,
        mask=rollout.mask,
        logp=rollout.logp,
        ended=rollout.ended,
        tokens=torch.where(rollout.mask, rollout.tokens, 4),
    )
    assert not torch.equal(rollout.tokens, changed.tokens)
    a, b = (
        view_tokens(policy, other_policy, r, temperature=1.0, rows=16) for r in (rollout, changed)
    )
    for name in ("logp", "ref_logp", "exact_kl", "entropy"):
        assert torch.equal(getattr(a, name), getattr(b, name))
        assert not getattr(a, name)[~rollout.mask].any()
    scalar = scalar_model_from(policy, seed=0)
    assert torch.equal(
        predict_values(scalar, rollout, rows=16), predict_values(scalar, changed, rows=16)
    )


def test_temperature(policy, other_policy, tokenizer):
    """At temperature T both sides are the tempered distributions."""
    rollout = rollout_of(policy, tokenizer)
    view = view_tokens(policy, other_policy, rollout, temperature=2.0, rows=16)
    logits = policy(input_ids=rollout.sequence[:1][:, rollout.attention[0]]).logits[0]
    start = int(rollout.prompt.mask[0].sum())
    expected = (logits[start - 1] / 2.0).log_softmax(-1)[rollout.tokens[0, 0]]
    assert float(view.logp[0, 0]) == pytest.approx(float(expected.detach()), abs=1e-4)


def test_shaped(policy, other_policy, tokenizer):
    """sum_t r_t = score - beta sum_t k_t, with the score on the last token of the response."""
    scored = scored_of(policy, other_policy, tokenizer)
    _, rewards = to_experience(
        scored, penalty(), AdvantageSettings(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=False)
    )
    assert torch.allclose(rewards.sum(1), scored.score - BETA * scored.kl.sum(1), atol=1e-5)
    assert not rewards[~scored.rollout.mask].any()


def test_returns_unwhitened(policy, other_policy, tokenizer):
    """Returns are raw advantages + values; whitening moves the advantages alone: mean 0,
    variance 1 over the mask, 0 elsewhere."""
    scored = scored_of(policy, other_policy, tokenizer)
    plain, rewards = to_experience(
        scored, penalty(), AdvantageSettings(gamma=1.0, lam=0.9, whiten=False, whiten_rewards=False)
    )
    white, _ = to_experience(
        scored, penalty(), AdvantageSettings(gamma=1.0, lam=0.9, whiten=True, whiten_rewards=False)
    )
    mask = scored.rollout.mask
    expected, _ = gae(rewards, scored.values, mask, 1.0, 0.9)
    assert torch.allclose(plain.advantages, expected) and torch.equal(plain.returns, white.returns)
    assert torch.allclose(plain.returns[mask], (plain.advantages + scored.values)[mask], atol=1e-5)
    counted = white.advantages[mask]
    assert abs(float(counted.mean())) < 1e-5 and abs(float(counted.var(correction=0)) - 1) < 1e-4
    assert not white.advantages[~mask].any()
    assert plain.reward_unit == 1.0
    assert white.reward_unit == pytest.approx(
        1 / float(plain.advantages[mask].std(correction=0)), rel=1e-4
    )


def test_whiten_beta_scale(policy, other_policy, tokenizer):
    """Whitened rewards are scaled by 1/std, score and KL alike, and moved by mean * (1 - 1/std);
    the unit is passed on."""
    scored = scored_of(policy, other_policy, tokenizer)
    settings = AdvantageSettings(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=True)
    white, rewards = to_experience(scored, penalty(), settings)
    counted = rewards[scored.rollout.mask]
    mean, std = counted.mean(), counted.std(correction=0)
    expected = (counted / std + mean * (1 - 1 / std)).sum()
    # lam = gamma = 1: the first return is the sum of the row's used rewards
    first = (white.returns[:, 0]).sum()
    assert float(first) == pytest.approx(float(expected), rel=1e-3)
    assert white.reward_unit == pytest.approx(1 / float(std), rel=1e-4)


def test_units(policy, other_policy, tokenizer):
    """Nats per response are the mean of row sums; nats per token the sum over all tokens by
    their number."""
    rollout = rollout_of(policy, tokenizer)
    view = view_tokens(policy, other_policy, rollout, temperature=1.0, rows=16)
    metrics = kl_metrics(rollout, view)
    rows = (view.logp - view.ref_logp).double().sum(1)
    assert metrics["kl/sequence_nats"] == pytest.approx(float(rows.mean()), rel=1e-5)
    # four prompts, asked in turns: the spread of each one's answers
    within = rows.view(-1, 4).var(dim=0)
    assert metrics["kl/sequence_nats_se"] == pytest.approx(
        float((within.mean() / len(rows)).sqrt()), rel=1e-5
    )
    length = float(rollout.mask.sum(1).double().mean())
    assert metrics["kl/sequence_nats"] == pytest.approx(metrics["kl/token_nats"] * length, rel=1e-5)
    residual = (rows - metrics["kl/token_nats"] * rollout.mask.sum(1)).view(-1, 4).var(dim=0)
    assert metrics["kl/token_nats_se"] == pytest.approx(
        float((residual.mean() / len(rows)).sqrt()) / length, rel=1e-5
    )


def test_units_of_every_estimator(policy, other_policy, tokenizer):
    """k2, k3 and exact beside k1, in nats per response and per token, each with an error; k2 and
    k3 from d by hand."""
    rollout = rollout_of(policy, tokenizer)
    view = view_tokens(policy, other_policy, rollout, temperature=1.0, rows=16)
    metrics, d = kl_metrics(rollout, view), (view.logp - view.ref_logp).double()
    by_hand = {"": d, "_k2": d * d / 2, "_k3": torch.exp(-d) - 1 + d, "_exact": view.exact_kl}
    for ending, per_token in by_hand.items():
        total = (per_token.double() * rollout.mask).sum()
        assert metrics[f"kl/sequence_nats{ending}"] == pytest.approx(float(total / 16), rel=1e-4)
        assert metrics[f"kl/token_nats{ending}"] == pytest.approx(
            float(total / rollout.mask.sum()), rel=1e-4
        )
        assert (
            metrics[f"kl/sequence_nats{ending}_se"] > 0 and metrics[f"kl/token_nats{ending}_se"] > 0
        )


def test_mean_and_se_by_hand():
    assert mean_and_se("x", torch.tensor([1.0, 2.0, 3.0])) == {
        "x": 2.0,
        "x_se": pytest.approx(1 / math.sqrt(3)),
    }
    strata = torch.tensor([0, 0, 1, 1])
    assert mean_and_se("x", torch.tensor([1.0, 3.0, 10.0, 10.0]), strata) == {
        "x": 6.0,
        "x_se": pytest.approx(0.5),
    }


def test_evaluation_shows_the_first_responses_with_their_numbers(policy, other_policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    view = view_tokens(policy, other_policy, rollout, temperature=1.0, rows=16)
    judges = Judges(tokenizer=tokenizer, gold=lambda p, r: [float(len(x)) for x in r])
    metrics, table = evaluate(rollout, view, judges, GoldScorer(), samples=3)
    assert all(name.startswith("eval/") for name in metrics) and len(table) == 3
    assert metrics["eval/reward/gold"] == pytest.approx(
        sum(len(x) for x in _texts(rollout, tokenizer)) / 16
    )
    assert metrics["eval/ppo/score"] == metrics["eval/reward/gold"]
    assert [row["prompt"] for row in table] == ["a b", "c", "d e f"]
    assert [row["reward/gold"] for row in table] == [
        float(len(x)) for x in _texts(rollout, tokenizer)[:3]
    ]
    for i, row in enumerate(table):
        ids = rollout.tokens[i][rollout.mask[i]].tolist()
        assert "".join(row["tokens"]) == tokenizer.decode(ids, skip_special_tokens=False)
        assert row["tokens"][-1].endswith(tokenizer.eos_token) == row["ended"]
        assert len(row["tokens"]) == len(row["token_kl"]) and sum(row["token_kl"]) == pytest.approx(
            row["kl/sequence_nats"], abs=1e-3
        )


def _texts(rollout, tokenizer):
    from rlhf.rollout.engines.torch import decode

    return decode(rollout, tokenizer)


def test_minibatches_hold_every_row_once_and_know_the_whole_step(policy, other_policy, tokenizer):
    scored = scored_of(policy, other_policy, tokenizer)
    experience, _ = to_experience(
        scored, penalty(), AdvantageSettings(gamma=1.0, lam=1.0, whiten=False, whiten_rewards=False)
    )
    steps = list(minibatches(experience, 8, 3, generator(0, "order")))
    assert [len(step) for step in steps] == [3, 3]
    for step in steps:
        assert {m.splits for m in step} == {3} and {m.step_sequences for m in step} == {8}
        assert {m.step_tokens for m in step} == {sum(int(m.experience.mask.sum()) for m in step)}
    rows = torch.cat([m.experience.returns for step in steps for m in step])
    assert sorted(rows[:, 0].tolist()) == sorted(experience.returns[:, 0].tolist())

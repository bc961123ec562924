"""Whole rollouts of a random policy against a random reference."""

import math
from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.tokenizers import symbols
from rlhf.models.load import scalar_model_from
from rlhf.models.policy import PolicyReader
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, decode, in_context
from rlhf.rollout.evaluate import by_prompt, evaluate, kl_metrics, mean_and_se, token_texts
from rlhf.rollout.score import GoldScorer, Judges
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch, rendering, stops


def rollout_of(policy, tokenizer, count=16):
    engine = engine_of(policy, tokenizer)
    prompts = prompt_batch(tokenizer, ["a b", "c", "d e f", "g"] * (count // 4))
    return engine.respond(prompts, Sampling(max_new_tokens=6), generator(0, "collect"))


def viewed(policy, reference, rollout, *, rows, temperature=1.0):
    readers = [
        PolicyReader(model=m, temperature=temperature, at_once=AtOnce(rows=rows))
        for m in (policy, reference)
    ]
    return readers[0].view(readers[1], rollout)


def test_kl_identity(policy, tokenizer):
    """The policy against itself: every estimate is 0, per token and in sum."""
    view = viewed(policy, policy, rollout_of(policy, tokenizer), rows=4)
    assert torch.equal(view.logp, view.ref_logp)
    assert float(view.exact_kl.abs().max()) < 1e-6


def test_kl_identity_fails_with_dropout(tokenizer):
    """The check above can fail: with dropout on, the policy is not even itself."""
    policy = tiny(tokenizer, "gpt2")
    for module in policy.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    view = viewed(policy.train(), policy, rollout_of(policy, tokenizer), rows=16)
    assert float((view.logp - view.ref_logp).abs().max()) > 0.01


def test_views_do_not_depend_on_how_rows_are_split(policy, other_policy, tokenizer):
    rollout = rollout_of(policy, tokenizer)
    one, many = (viewed(policy, other_policy, rollout, rows=n) for n in (16, 3))
    for name in ("logp", "ref_logp", "exact_kl", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(many, name), atol=1e-5)


def test_mask_after_eos(policy, other_policy, tokenizer):
    """Tokens after the first EOS change no number that follows from a rollout, not by a bit."""
    rollout = rollout_of(policy, tokenizer, count=64)
    changed = replace(rollout, tokens=torch.where(rollout.mask, rollout.tokens, 4))
    assert not torch.equal(rollout.tokens, changed.tokens)
    a, b = (viewed(policy, other_policy, r, rows=64) for r in (rollout, changed))
    for name in ("logp", "ref_logp", "exact_kl", "entropy"):
        assert torch.equal(getattr(a, name), getattr(b, name))
        assert not getattr(a, name)[~rollout.mask].any()
    scalar = scalar_model_from(policy, seed=0)
    assert torch.equal(
        scalar.predict(rollout, AtOnce(rows=64)), scalar.predict(changed, AtOnce(rows=64))
    )


def test_temperature(policy, other_policy, tokenizer):
    """At temperature T both sides are the tempered distributions."""
    rollout = rollout_of(policy, tokenizer)
    view = viewed(policy, other_policy, rollout, temperature=2.0, rows=16)
    logits = policy(input_ids=rollout.sequence[:1][:, rollout.attention[0]]).logits[0]
    start = int(rollout.prompt.mask[0].sum())
    expected = (logits[start - 1] / 2.0).log_softmax(-1)[rollout.tokens[0, 0]]
    assert float(view.logp[0, 0]) == pytest.approx(float(expected.detach()), abs=1e-4)


def test_units(policy, other_policy, tokenizer):
    """Nats per response are the mean of row sums; nats per token the sum over all tokens by
    their number."""
    rollout = rollout_of(policy, tokenizer)
    view = viewed(policy, other_policy, rollout, rows=16)
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
    view = viewed(policy, other_policy, rollout, rows=16)
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
    view = viewed(policy, other_policy, rollout, rows=16)
    judges = Judges(
        tokenizer=tokenizer, stops=stops(tokenizer), gold=lambda p, r: [float(len(x)) for x in r]
    )
    responses = judges.read(rollout)
    metrics, table = evaluate(responses, view, GoldScorer()(responses), samples=3)
    assert all(name.startswith("eval/") for name in metrics) and len(table) == 3
    assert metrics["eval/reward/gold"] == pytest.approx(
        sum(len(x) for x in decode(rollout, tokenizer, stops(tokenizer))) / 16
    )
    assert metrics["eval/ppo/score"] == metrics["eval/reward/gold"]
    assert [row["prompt"] for row in table] == ["a b", "c", "d e f"]
    assert [row["reward/gold"] for row in table] == [
        float(len(x)) for x in decode(rollout, tokenizer, stops(tokenizer))[:3]
    ]
    for i, row in enumerate(table):
        ids = rollout.tokens[i][rollout.mask[i]].tolist()
        assert "".join(row["tokens"]) == tokenizer.decode(ids, skip_special_tokens=False)
        assert row["tokens"][-1].endswith(tokenizer.eos_token) == row["ended"]
        assert len(row["tokens"]) == len(row["token_kl"]) and sum(row["token_kl"]) == pytest.approx(
            row["kl/sequence_nats"], abs=1e-3
        )


def test_values_by_prompt_make_the_metrics(policy, other_policy, tokenizer):
    """Four prompts, each answered four times: means over its responses, whose mean is the
    evaluation's."""
    rollout = rollout_of(policy, tokenizer)
    view = viewed(policy, other_policy, rollout, rows=16)
    judges = Judges(
        tokenizer=tokenizer, stops=stops(tokenizer), gold=lambda p, r: [float(len(x)) for x in r]
    )
    responses = judges.read(rollout)
    metrics, _ = evaluate(responses, view, GoldScorer()(responses), samples=0)
    row = by_prompt(responses, view)
    assert row["responses"] == [4, 4, 4, 4] and len(row["prompts"]) == 16
    lengths = [len(x) for x in decode(rollout, tokenizer, stops(tokenizer))]
    assert row["reward/gold"] == [sum(lengths[i::4]) / 4 for i in range(4)]
    for key in ("reward/gold", "kl/sequence_nats"):
        assert sum(row[key]) / 4 == pytest.approx(metrics[f"eval/{key}"], rel=1e-5)


def test_the_text_of_tokens_is_that_of_the_response():
    """A tokenizer that drops a text's first space, and a response that goes on in the line."""
    tokenizer = symbols("abc")
    anchor = rendering(tokenizer).anchor
    ids = tokenizer.convert_tokens_to_ids(["c", "a", tokenizer.eos_token])
    assert token_texts(ids, tokenizer, anchor) == [" c", " a", " <eos>"]
    assert "".join(token_texts(ids[:2], tokenizer, anchor)) == in_context(ids, tokenizer, anchor)

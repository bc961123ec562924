"""Mixtures of two models: their ends, their numbers, and what the draws do not depend on."""

from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.functional.kl import k1, mixture_kl
from rlhf.functional.logprobs import entropy, mixture, token_logp
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.views import PolicyView
from rlhf.models.policy import response_logits
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.engines.mixture import MixtureEngine
from rlhf.rollout.engines.sampler import draw, uniforms, warp
from tests.conftest import tiny
from tests.turns import engine, prompt_batch, stops

PROMPTS = ("a b c", "d", "e f", "d") * 3
WEIGHTS = (0.0, 0.3, 1.0, 1.6)
SAMPLINGS = [{}, {"temperature": 0.6}, {"temperature": 1.5, "top_p": 0.9}, {"top_k": 3}]


def mixed(policy, reference, tokenizer, **more):
    return MixtureEngine(
        policy, stops(tokenizer, **more), tokenizer.pad_token_id, tokenizer, reference=reference
    )


def drawn(engine, tokenizer, weights=WEIGHTS, rows=None, **sampling):
    batch = prompt_batch(tokenizer, PROMPTS)
    batch = batch if rows is None else batch.rows(rows)
    settings = Sampling(max_new_tokens=10, **sampling)
    return engine.at_each(batch, weights, settings, generator(0, "test"), rows)


def same(one, other, atol=1e-5):
    for name in ("tokens", "mask", "ended"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("logp", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=atol), name


def cut(view, length):
    """The numbers up to a length."""
    return {name: getattr(view, name)[:, :length] for name in vars(view)}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_realigned_at_0_is_the_reference_and_at_1_the_policy(
    policy, other_policy, tokenizer, sampling
):
    """Token by token the responses of the plain engines."""
    points = drawn(mixed(policy, other_policy, tokenizer), tokenizer, **sampling)
    batch, settings = prompt_batch(tokenizer, PROMPTS), Sampling(max_new_tokens=10, **sampling)
    for point, model in ((0, other_policy), (2, policy)):
        plain = engine(model, tokenizer).respond(batch, settings, generator(0, "test"))
        length = plain.tokens.shape[1]
        assert int(points[point][0].mask.sum(1).max()) == length
        own = points[point][0]
        own = replace(own, **{n: getattr(own, n)[:, :length] for n in ("tokens", "mask", "logp")})
        same(replace(own, entropy=own.entropy[:, :length]), plain)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_numbers_are_those_of_one_pass_over_the_whole(tokenizer, architecture, sampling):
    """Log-probabilities, entropy and KL over the vocabulary at the temperature, of both models'
    logits; and the sampled distribution's own."""
    policy, reference = (tiny(tokenizer, architecture, seed) for seed in (0, 1))
    heat = sampling.get("temperature", 1.0)
    for weight, (rollout, view) in zip(
        WEIGHTS, drawn(mixed(policy, reference, tokenizer), tokenizer, **sampling), strict=True
    ):
        own = (rollout.sequence, rollout.attention, rollout.tokens.shape[1])
        ref_logits, logits = (response_logits(m, *own) for m in (reference, policy))
        whole = mixture(ref_logits, logits, weight)
        expected = {
            "logp": token_logp(whole, rollout.tokens, heat),
            "ref_logp": token_logp(ref_logits, rollout.tokens, heat),
            "entropy": entropy(whole, heat),
            "exact_kl": mixture_kl(ref_logits, logits, weight, heat),
        }
        for name, x in expected.items():
            there = x.masked_fill(~rollout.mask, 0.0)
            assert torch.allclose(getattr(view, name), there, atol=1e-4), (weight, name)
        settings = Sampling(max_new_tokens=10, **sampling)
        warped = torch.stack([warp(row, settings) for row in whole])
        again = warped.gather(2, rollout.tokens[..., None]).squeeze(2)
        assert torch.allclose(rollout.logp, again.masked_fill(~rollout.mask, 0.0), atol=1e-4)
        assert (view.exact_kl[:, 0] > 1e-3).all() or weight == 0


def test_at_lambda_0_there_is_no_kl(policy, other_policy, tokenizer):
    _, view = drawn(mixed(policy, other_policy, tokenizer), tokenizer, [0.0])[0]
    assert k1(view.logp, view.ref_logp).abs().max() == 0 == view.exact_kl.abs().max()


@pytest.mark.parametrize("limit", [{"rows": 1}, {"rows": 7}, {"tokens": 40}])
def test_the_draws_depend_on_seed_place_and_step_alone(policy, other_policy, tokenizer, limit):
    """In parts, one lambda at a time, and some rows of the batch: the same responses."""
    whole = mixed(policy, other_policy, tokenizer)
    together = drawn(whole, tokenizer)
    parts = drawn(replace(whole, at_once=AtOnce(**limit)), tokenizer)
    ended = torch.stack([rollout.ended for rollout, _ in together])
    assert ended.any() and not ended.all()
    for i, weight in enumerate(WEIGHTS):
        same(parts[i][0], together[i][0])
        alone, view = drawn(whole, tokenizer, [weight])[0]
        length = alone.tokens.shape[1]
        assert torch.equal(alone.tokens, together[i][0].tokens[:, :length])
        for name, x in cut(together[i][1], length).items():
            assert torch.allclose(getattr(view, name), x, atol=1e-5), name
            assert torch.allclose(getattr(parts[i][1], name)[:, :length], x, atol=1e-5), name
        rows = torch.arange(1, len(PROMPTS), 3)
        some = drawn(whole, tokenizer, [weight], rows)[0][0]
        assert torch.equal(some.tokens, alone.tokens[rows][:, : some.tokens.shape[1]])


def test_a_stop_string_ends_a_row(policy, other_policy, tokenizer):
    """Where it ends that of the plain engine."""
    own = mixed(policy, other_policy, tokenizer, texts=("c",))
    points = drawn(own, tokenizer, (0.5, 1.0))
    batch, settings = prompt_batch(tokenizer, PROMPTS), Sampling(max_new_tokens=10)
    plain = own.respond(batch, settings, generator(0, "test"))
    assert torch.equal(points[1][0].tokens[:, : plain.tokens.shape[1]], plain.tokens)
    free = drawn(mixed(policy, other_policy, tokenizer), tokenizer, (0.5, 1.0))
    for (stopped, _), (longer, _) in zip(points, free, strict=True):
        assert stopped.ended.sum() > longer.ended.sum()


def test_views_of_one_network_are_mixed_too(policy, tokenizer):
    """The reference is the network, the policy the network with an adapter."""
    shared = SharedBackbone(policy)
    shared.add("policy", Lora(r=2, alpha=4.0), seed=0)
    reference, own = PolicyView(shared), PolicyView(shared, "policy")
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=generator(0, "b"))
    points = drawn(mixed(own, reference, tokenizer), tokenizer, (0.0, 0.5, 1.0))
    batch, settings = prompt_batch(tokenizer, PROMPTS), Sampling(max_new_tokens=10)
    for point, model in ((0, reference), (2, own)):
        plain = engine(model, tokenizer).respond(batch, settings, generator(0, "test"))
        length = plain.tokens.shape[1]
        assert torch.equal(points[point][0].tokens[:, :length], plain.tokens)
    nats = [float(view.exact_kl.sum()) for _, view in points]
    assert nats[0] == 0 and 0 < nats[1] < nats[2]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_tokens_are_those_of_a_naive_loop(tokenizer, sampling):
    """Both models read each row anew at every step; the mixture of their logits is drawn from."""
    policy, reference = (tiny(tokenizer, seed=seed) for seed in (0, 1))
    batch, settings = prompt_batch(tokenizer, PROMPTS[:4]), Sampling(max_new_tokens=6, **sampling)
    own = mixed(policy, reference, tokenizer)
    points = own.at_each(batch, WEIGHTS, settings, generator(0, "test"))
    u = uniforms(generator(0, "test"), torch.arange(4), 6)
    for weight, (rollout, _) in zip(WEIGHTS, points, strict=True):
        for row in range(4):
            ids, written = batch.tokens[row][batch.mask[row]].tolist(), []
            while len(written) < 6 and not {*written} & {*own.stops.ids}:
                last = [
                    model(input_ids=torch.tensor([[*ids, *written]])).logits[:, -1]
                    for model in (reference, policy)
                ]
                whole = mixture(*last, weight).detach()
                written += draw(whole, u[row, len(written)][None], settings).tokens.tolist()
            assert rollout.tokens[row][rollout.mask[row]].tolist() == written

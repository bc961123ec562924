import pytest
import torch

from rlhf.data.collate import collate_prompts, eos_id, pad_id
from rlhf.functional.logprobs import token_logp
from rlhf.functional.sequences import response_mask
from rlhf.models.policy import response_logits
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, decode
from rlhf.rollout.engines.torch import TorchEngine, warp
from tests.conftest import tiny


def respond(model, tokenizer, *, seed=0, pad=None, prompts=("a b c", "d", "e f"), **sampling):
    engine = TorchEngine(model, eos_id(tokenizer), pad_id(tokenizer) if pad is None else pad)
    batch, settings = collate_prompts(tokenizer, prompts), Sampling(max_new_tokens=8, **sampling)
    return engine.respond(batch, settings, generator(seed, "test"))


def test_sampler_consistency(tokenizer, architecture):
    """The log-probabilities of the cached, step-by-step sampler are those of one forward pass
    over the whole."""
    model = tiny(tokenizer, architecture)
    rollout = respond(model, tokenizer)
    logits = response_logits(model, rollout.sequence, rollout.attention, rollout.tokens.shape[1])
    again = token_logp(logits, rollout.tokens).masked_fill(~rollout.mask, 0.0)
    assert torch.allclose(again, rollout.logp, atol=1e-4)


def test_the_mask_ends_with_the_first_eos(policy, tokenizer):
    rollout = respond(policy, tokenizer, prompts=["a", "b", "c", "d"] * 8)
    assert rollout.ended.any() and not rollout.ended.all()
    assert torch.equal(rollout.mask, response_mask(rollout.tokens, tokenizer.eos_token_id))
    assert torch.equal(
        rollout.ended, ((rollout.tokens == tokenizer.eos_token_id) & rollout.mask).any(1)
    )


def test_pad_equals_eos(policy, tokenizer):
    """Padding with EOS gives the same responses, masks and log-probabilities."""
    one, two = respond(policy, tokenizer), respond(policy, tokenizer, pad=tokenizer.eos_token_id)
    assert (
        torch.equal(one.mask, two.mask)
        and torch.equal(one.logp, two.logp)
        and torch.equal(one.ended, two.ended)
    )
    assert torch.equal(one.tokens[one.mask], two.tokens[two.mask])
    assert decode(one, tokenizer) == decode(two, tokenizer)


def test_draws_come_from_the_generator_alone(policy, tokenizer):
    torch.manual_seed(1)
    first = respond(policy, tokenizer)
    torch.manual_seed(2)
    assert torch.equal(first.tokens, respond(policy, tokenizer).tokens)
    assert not torch.equal(first.tokens[:, :3], respond(policy, tokenizer, seed=1).tokens[:, :3])


def test_warp_by_hand():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def probabilities(**settings):
        return warp(logits, Sampling(max_new_tokens=1, **settings)).exp()[0].tolist()

    assert probabilities() == pytest.approx([0.5, 0.3, 0.15, 0.05])
    assert probabilities(top_k=2) == pytest.approx([0.625, 0.375, 0, 0])
    assert probabilities(top_p=0.8) == pytest.approx([0.625, 0.375, 0, 0])
    assert probabilities(top_p=0.81) == pytest.approx([0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0])
    assert probabilities(top_p=0.01) == pytest.approx([1, 0, 0, 0])
    squares = [0.25, 0.09, 0.0225, 0.0025]
    assert probabilities(temperature=0.5) == pytest.approx([x / sum(squares) for x in squares])


def test_samples_follow_the_policy(tokenizer):
    """4,000 first tokens against the policy's own distribution: chi-squared within its 99.9 %
    bound."""
    model = tiny(tokenizer)
    rollout = respond(model, tokenizer, prompts=["a b"] * 4000)
    prompt = collate_prompts(tokenizer, ["a b"])
    expected = model(input_ids=prompt.tokens).logits[0, -1].softmax(-1) * 4000
    seen = torch.bincount(rollout.tokens[:, 0], minlength=len(expected)).float()
    big = expected > 5
    statistic = float(((seen - expected).square() / expected)[big].sum())
    assert statistic < 2.2 * int(big.sum()) + 15


def test_decoded_text_has_no_eos_and_nothing_after_it(policy, tokenizer):
    rollout = respond(policy, tokenizer, prompts=["a"] * 16)
    for text, row, mask, ended in zip(
        decode(rollout, tokenizer), rollout.tokens, rollout.mask, rollout.ended, strict=True
    ):
        assert len(text.split()) <= int(mask.sum()) - int(ended)
        assert tokenizer.eos_token not in text or tokenizer.eos_token_id not in row[mask]

import torch

from rlhf.functional.logprobs import token_logp
from rlhf.functional.sequences import response_mask
from rlhf.functional.vocabulary import entropy_of
from rlhf.models.policy import response_logits
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops, decode
from rlhf.rollout.engines.torch import TorchEngine
from tests.conftest import tiny
from tests.turns import engine as engine_of, prompt_batch, stops


def respond(model, tokenizer, *, seed=0, pad=None, prompts=("a b c", "d", "e f"), **sampling):
    batch, settings = prompt_batch(tokenizer, prompts), Sampling(max_new_tokens=8, **sampling)
    return engine_of(model, tokenizer, pad).respond(batch, settings, generator(seed, "test"))


def test_sampler_consistency(tokenizer, architecture):
    """The log-probabilities of the cached, step-by-step sampler are those of one forward pass
    over the whole."""
    model = tiny(tokenizer, architecture)
    rollout = respond(model, tokenizer)
    logits = response_logits(model, rollout.sequence, rollout.attention, rollout.tokens.shape[1])
    again = token_logp(logits, rollout.tokens).masked_fill(~rollout.mask, 0.0)
    assert torch.allclose(again, rollout.logp, atol=1e-4)


def test_the_entropy_is_that_of_the_distribution_that_was_sampled(policy, tokenizer):
    """Of the policy at its temperature; where top-k cut it, of what is left."""
    rollout = respond(policy, tokenizer, temperature=0.7)
    logits = response_logits(policy, rollout.sequence, rollout.attention, rollout.tokens.shape[1])
    whole = entropy_of(logits, 0.7).masked_fill(~rollout.mask, 0.0)
    assert torch.allclose(rollout.entropy, whole, atol=1e-4) and (whole[:, 0] > 0.1).all()
    assert respond(policy, tokenizer, top_k=1).entropy.tolist() == [[0.0] * 8] * 3


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
    assert decode(one, tokenizer, stops(tokenizer)) == decode(two, tokenizer, stops(tokenizer))


def test_draws_come_from_the_generator_alone(policy, tokenizer):
    torch.manual_seed(1)
    first = respond(policy, tokenizer)
    torch.manual_seed(2)
    assert torch.equal(first.tokens, respond(policy, tokenizer).tokens)
    assert not torch.equal(first.tokens[:, :3], respond(policy, tokenizer, seed=1).tokens[:, :3])


def test_samples_follow_the_policy(tokenizer):
    """4,000 first tokens against the policy's own distribution: chi-squared within its 99.9 %
    bound."""
    model = tiny(tokenizer)
    rollout = respond(model, tokenizer, prompts=["a b"] * 4000)
    prompt = prompt_batch(tokenizer, ["a b"])
    expected = model(input_ids=prompt.tokens).logits[0, -1].softmax(-1) * 4000
    seen = torch.bincount(rollout.tokens[:, 0], minlength=len(expected)).float()
    big = expected > 5
    statistic = float(((seen - expected).square() / expected)[big].sum())
    assert statistic < 2.2 * int(big.sum()) + 15


def test_decoded_text_has_no_eos_and_nothing_after_it(policy, tokenizer):
    rollout = respond(policy, tokenizer, prompts=["a"] * 16)
    for text, row, mask, ended in zip(
        decode(rollout, tokenizer, stops(tokenizer)),
        rollout.tokens,
        rollout.mask,
        rollout.ended,
        strict=True,
    ):
        assert len(text.split()) <= int(mask.sum()) - int(ended)
        assert tokenizer.eos_token not in text or tokenizer.eos_token_id not in row[mask]


def test_any_of_several_ids_ends_a_response(policy, tokenizer):
    """The ids of " b" and " c" beside EOS: whichever comes first is the last that counts."""
    ids = (tokenizer.eos_token_id, *(tokenizer.convert_tokens_to_ids(t) for t in (" b", " c")))
    batch = prompt_batch(tokenizer, ["a", "d"] * 16)
    engine = TorchEngine(policy, Stops(ids=ids), tokenizer.pad_token_id)
    rollout = engine.respond(batch, Sampling(max_new_tokens=8), generator(0, "test"))
    assert torch.equal(rollout.mask, response_mask(rollout.tokens, ids))
    last = rollout.tokens.gather(1, rollout.mask.sum(1, keepdim=True) - 1).squeeze(1)
    assert torch.equal(rollout.ended, torch.isin(last, torch.tensor(ids)))
    assert {*last[rollout.ended].tolist()} == {*ids}
    for text in decode(rollout, tokenizer, engine.stops):
        assert " b" not in text and " c" not in text


def test_a_string_ends_a_response_and_is_no_part_of_its_text(policy, tokenizer):
    """Rows whose text has ` b c` in it end with the token that completes it; all others are as
    they are without it."""
    batch, settings = prompt_batch(tokenizer, ["a b", "c"] * 64), Sampling(max_new_tokens=8)
    stopping = Stops(ids=(tokenizer.eos_token_id,), texts=("b c",))
    free = engine_of(policy, tokenizer)
    held = TorchEngine(policy, stopping, tokenizer.pad_token_id, tokenizer)
    one, two = (e.respond(batch, settings, generator(0, "test")) for e in (free, held))
    texts = decode(one, tokenizer, free.stops)
    hit = torch.tensor(["b c" in text for text in texts])
    assert hit.any() and not hit.all()
    assert two.ended[hit].all()
    for text, cut, row, mask in zip(
        texts, decode(two, tokenizer, stopping), two.tokens, two.mask, strict=True
    ):
        assert cut == text.partition("b c")[0]
        if "b c" in text:
            assert tokenizer.decode(row[mask]).endswith("b c")


def test_the_template_goes_on_after_what_ended_a_response():
    stops = Stops(ids=(2, 7), closing=(9,))
    assert stops.after(2) == stops.after(7) == (9,)
    assert stops.after(5) == (2, 9)  # a string ended it: the stop token comes first

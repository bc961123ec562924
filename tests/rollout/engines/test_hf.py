"""transformers' `generate` and our loop draw the same."""

from dataclasses import fields, replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.models.adapters.views import PolicyView
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.hf import HFEngine
from rlhf.rollout.engines.torch import TorchEngine
from tests.conftest import tiny
from tests.models.adapters.test_views import roles
from tests.turns import engine as engine_of, prompt_batch


def both(model, tokenizer, *, stops=None, at_once=None, **sampling):
    """The responses of the torch engine and of the other, to 24 prompts of 1 to 3 tokens."""
    ours = engine_of(model, tokenizer)
    ours = replace(ours, at_once=at_once or AtOnce(), stops=stops or ours.stops)
    theirs = HFEngine(**{f.name: getattr(ours, f.name) for f in fields(HFEngine)})
    assert isinstance(ours, TorchEngine)
    batch = prompt_batch(tokenizer, ["a b c", "d", "e f"] * 8)
    settings = Sampling(max_new_tokens=12, **sampling)
    return [e.respond(batch, settings, generator(0, "test")) for e in (ours, theirs)]


def check(one, two):
    for name in ("tokens", "mask", "ended"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for name in ("logp", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(two, name), atol=1e-5), name


@pytest.mark.parametrize(
    "sampling",
    [{}, {"temperature": 0.7}, {"top_k": 1}, {"top_k": 14}, {"top_p": 0.8, "temperature": 1.3}],
)
def test_the_engines_agree(tokenizer, architecture, sampling):
    """Greedy (top-k 1) and drawn; rows end at different times."""
    one, two = both(tiny(tokenizer, architecture), tokenizer, **sampling)
    check(one, two)
    assert len({*one.mask.sum(1).tolist()}) > 1 or sampling == {"top_k": 1}


def test_the_engines_agree_where_ids_and_strings_end_responses(policy, tokenizer):
    ids = (tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids([" b", " f"]))
    one, two = both(policy, tokenizer, stops=Stops(ids=ids, texts=("c d", "g")))
    check(one, two)
    assert one.ended.any()
    check(*both(policy, tokenizer, stops=Stops(ids=ids), at_once=AtOnce(rows=5)))


def test_what_a_generation_config_asks_for_beside_is_off(policy, tokenizer):
    one, _ = both(policy, tokenizer)
    before = policy.generation_config
    policy.generation_config.repetition_penalty = 5.0
    policy.generation_config.top_k = 1
    check(one, both(policy, tokenizer)[1])
    assert policy.generation_config is before


def test_a_view_is_drawn_from_under_its_adapter(tokenizer):
    shared, policy, *_ = roles(tokenizer)
    one, two = both(policy, tokenizer)
    check(one, two)
    plain, _ = both(PolicyView(shared), tokenizer)
    assert not torch.equal(plain.logp[:, 0], one.logp[:, 0])


def test_a_row_of_nan_ends_no_other(policy, tokenizer):
    """The rows that begin with d, and they alone, get NaN."""
    d = tokenizer.convert_tokens_to_ids("d")

    def spoil(module, args, kwargs, output):
        output.logits[(kwargs["input_ids"] == d).any(1)] = torch.nan

    clean, _ = both(policy, tokenizer)
    policy.register_forward_hook(spoil, with_kwargs=True)
    for rollout in both(policy, tokenizer):
        bad = rollout.logp.isnan().any(1)
        assert bad[1::3].all()
        width = min(rollout.tokens.shape[1], clean.tokens.shape[1])
        assert torch.equal(rollout.tokens[~bad][:, :width], clean.tokens[~bad][:, :width])

import torch

from rlhf.at_once import AtOnce
from rlhf.models.packing.choice import reading
from rlhf.models.policy import PolicyReader
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling
from tests.conftest import tiny
from tests.turns import engine, prompt_batch


def test_passes_that_learn_nothing_keep_no_account(tokenizer):
    with reading(tiny(tokenizer), tiny(tokenizer)):
        assert torch.is_inference_mode_enabled()


def test_code_that_comes_with_a_model_may_keep_tensors(tokenizer):
    """It is told no more than that there is no gradient; nor are those that read beside it."""
    model = tiny(tokenizer)
    model.__class__ = type("Own", (type(model),), {"__module__": __name__})
    for models in ([model], [tiny(tokenizer), model]):
        with reading(*models):
            assert not torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


def test_what_was_read_may_be_part_of_what_learns(tokenizer):
    """The gradient of a product keeps both factors."""
    model = tiny(tokenizer)
    prompts = prompt_batch(tokenizer, ("a b c", "d"))
    drawn = engine(model, tokenizer).respond(
        prompts, Sampling(max_new_tokens=4), generator(0, "test")
    )
    read = PolicyReader(model=model, temperature=1.0, at_once=AtOnce(rows=1)).logp(drawn)
    weight = torch.ones((), requires_grad=True)
    (weight * drawn.logp * read).sum().backward()
    assert weight.grad is not None
    assert not any(x.is_inference() for x in (drawn.tokens, drawn.mask, drawn.entropy, read))

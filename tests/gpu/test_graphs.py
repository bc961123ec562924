"""Captured steps against steps of growing shapes, on a CUDA device."""

from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.rollout.engines.torch import TorchEngine
from tests.conftest import tiny
from tests.rollout.engines.captured.test_graphs import PROMPTS, drawn, pair
from tests.turns import prompt_batch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def held_to_plain(model, tokenizer, **sampling):
    """The engine that captures, once it draws what the plain one draws."""
    engines = [replace(e, at_once=AtOnce(rows=9)) for e in pair(model, tokenizer)]
    engines[0] = replace(engines[0], fixed=None)  # as runs have it
    batch = prompt_batch(tokenizer, PROMPTS).to("cuda")
    one, two = (draws(engine, batch, **sampling) for engine in engines)
    for name in ("tokens", "mask", "ended"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    for name in ("logp", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(two, name), atol=1e-4), name
    assert engines[0].graphs.refused is None
    assert all(hasattr(step.play, "__self__") for step in engines[0].graphs.steps.values())
    return engines[0], batch, one


def draws(engine: TorchEngine, batch, **sampling):
    return drawn(engine, batch, draws_on="cuda", **sampling)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "top_k": 9}, {"top_p": 0.8}])
def test_captured_steps_draw_what_plain_ones_do(tokenizer, architecture, sampling):
    model = tiny(tokenizer, architecture).cuda()
    engine, batch, first = held_to_plain(model, tokenizer, **sampling)
    again = draws(engine, batch, **sampling)  # all steps replayed
    assert torch.equal(first.tokens, again.tokens) and torch.equal(first.logp, again.logp)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_graph_reads_the_weights_of_now(tokenizer, mixed):
    """After an update in place; under autocast a cached copy of the weights would be old."""
    model = tiny(tokenizer).cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
        engine, plain = pair(model, tokenizer)
        batch = prompt_batch(tokenizer, PROMPTS).to("cuda")
        draws(engine, batch)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.5)
    with torch.autocast("cuda", torch.bfloat16, enabled=mixed):
        one, two = (draws(e, batch) for e in (engine, plain))
    assert engine.graphs.refused is None and engine.graphs.steps
    equal = (one.tokens[:, :2] == two.tokens[:, :2]).all(1) & one.mask[:, 1]
    assert equal.sum() > 5  # in 16 bits a draw near a border may be another
    atol = 0.05 if mixed else 1e-4
    assert torch.allclose(one.logp[equal, 1], two.logp[equal, 1], atol=atol)

"""Steps of fixed shapes against steps of growing ones, on a CPU, where they are called and not
captured (tests/gpu/test_graphs.py captures them)."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf.at_once import AtOnce, rounded
from rlhf.models.load import without_dropout
from rlhf.models.packing.attention import attending
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.captured.fixed import LooksAtValues, NoLooks
from rlhf.rollout.engines.captured.graphs import unfit
from rlhf.rollout.engines.table import engine_of
from rlhf.rollout.engines.torch import TorchEngine
from tests.conftest import tiny
from tests.rollout.engines.test_cache import KINDS, SMALL, model_of
from tests.rollout.engines.test_local import same
from tests.turns import prompt_batch, stops

PROMPTS = ("a b c", "d", "e f", "a", "b c d e f a b") * 4  # 20 rows in a shape of 24


def pair(model, tokenizer, **more):
    """The engine that draws by fixed steps, and the one that does not; EOS and " b" end a
    response."""
    ids = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(" b"))
    own = (Stops(ids=ids, **more), tokenizer.pad_token_id, tokenizer)
    return tuple(TorchEngine(model, *own, fixed=fixed) for fixed in (True, False))


def drawn(engine, batch, *, length=12, draws_on="cpu", **sampling):
    settings = Sampling(max_new_tokens=length, **sampling)
    return engine.respond(batch, settings, generator(0, "test", device=draws_on))


def held_to_plain(model, tokenizer, *, at_once=None, texts=(), atol=1e-5, **sampling):
    """The fixed engine, once its responses are the plain one's."""
    fixed, plain = (
        replace(e, at_once=at_once or AtOnce()) for e in pair(model, tokenizer, texts=texts)
    )
    batch = prompt_batch(tokenizer, PROMPTS)
    expected = drawn(plain, batch, **sampling)
    same(drawn(fixed, batch, **sampling), expected, atol)
    assert fixed.graphs.refused is None and fixed.graphs.steps and not plain.graphs.steps
    return fixed, expected


# --- the same responses


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "top_k": 9}, {"top_p": 0.8}])
def test_fixed_steps_draw_what_growing_ones_do(tokenizer, architecture, sampling):
    """Ragged prompts, Llama and GPT-2; rows end at different steps, by either id."""
    _, rollout = held_to_plain(tiny(tokenizer, architecture), tokenizer, **sampling)
    assert rollout.ended.any() and len(rollout.mask.sum(1).unique()) > 2


def test_strings_end_responses(policy, tokenizer):
    _, rollout = held_to_plain(policy, tokenizer, texts=("a c", "d"))
    last = rollout.tokens.gather(1, rollout.mask.sum(1, keepdim=True) - 1).squeeze(1)
    ids = torch.tensor([tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(" b")])
    assert not torch.isin(last[rollout.ended], ids).all()  # a string ended some


@pytest.mark.parametrize("limit", [{"rows": 1}, {"rows": 9}, {"tokens": 60}])
def test_in_parts(policy, tokenizer, limit):
    held_to_plain(policy, tokenizer, at_once=AtOnce(**limit))


def test_keys_that_several_heads_of_queries_share(tokenizer):
    config = AutoConfig.for_model("llama", vocab_size=len(tokenizer), **SMALL)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    held_to_plain(attending(model, {}), tokenizer)


def test_a_long_response_and_a_single_token(policy, tokenizer):
    held_to_plain(policy, tokenizer, length=70)
    fixed, plain = pair(policy, tokenizer)
    batch = prompt_batch(tokenizer, PROMPTS)
    same(drawn(fixed, batch, length=1), drawn(plain, batch, length=1))


def test_under_autocast(policy, tokenizer):
    with torch.autocast("cpu", torch.bfloat16):
        fixed, _ = held_to_plain(policy, tokenizer, atol=0.02)  # as far as rounding to 16 bits goes
        assert {cast for _, _, cast in fixed.graphs.steps} == {torch.bfloat16}


# --- shapes


def test_shapes_by_hand():
    """2^k and 3 * 2^k."""
    assert [rounded(n, 8) for n in (1, 8, 9, 12, 13, 17, 24, 25, 33, 49, 64, 65, 97)] == [
        *(8, 8, 12, 12, 16, 24, 24, 32, 48, 64, 64, 96, 128)
    ]
    assert [rounded(n, 1) for n in (1, 2, 3, 4, 5, 6, 7)] == [1, 2, 3, 4, 6, 6, 8]


def test_rows_that_have_ended_leave_by_half(policy, tokenizer):
    """20 rows begin in a shape of 24, and at most 12 go on in one of 12, whose half is below 8."""
    fixed, rollout = held_to_plain(policy, tokenizer, length=40)
    going = [int(n) for n in rollout.mask.sum(0)]
    assert going[0] == 20 and any(8 < n <= 12 for n in going) and min(going) <= 6
    assert {shape[0] for shape, _, _ in fixed.graphs.steps} == {24, 12}
    assert {shape[1] for shape, _, _ in fixed.graphs.steps} == {64}


# --- what is kept, and until when


def places(graphs):
    return {key: id(step) for key, step in graphs.steps.items()}


def test_steps_are_kept_while_weights_stay_where_they_are(policy, tokenizer):
    """An update in place is read by the same step; weights in another place by a new one; and each
    time the responses are those of the weights of now."""
    fixed, plain = pair(policy, tokenizer)
    batch = prompt_batch(tokenizer, PROMPTS)
    before, first = drawn(fixed, batch), places(fixed.graphs)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(0.5)
    after = drawn(fixed, batch)
    same(after, drawn(plain, batch))
    assert not torch.equal(after.logp[:, 0], before.logp[:, 0])
    assert first.items() <= places(fixed.graphs).items()
    weight = policy.get_input_embeddings().weight
    old, weight.data = weight.data, 2 * weight.data
    same(drawn(fixed, batch), drawn(plain, batch))
    assert not set(first.values()) & set(places(fixed.graphs).values())
    assert not torch.equal(old, weight.data)


def test_a_larger_batch_takes_more_memory_and_a_smaller_one_reads_nothing_stale(policy, tokenizer):
    """Another shape in between leaves other numbers, and NaN, in the memory that both share."""
    fixed, plain = pair(policy, tokenizer)
    small, large = (prompt_batch(tokenizer, PROMPTS[:n]) for n in (5, 20))
    expected = [drawn(plain, batch) for batch in (small, large, small)]
    for batch, responses in zip((small, large, small), expected, strict=True):
        same(drawn(fixed, batch), responses)
        for blocks in fixed.graphs.memory.values():
            for block in blocks.values():
                block.fill_(torch.nan)
    assert fixed.graphs.memory[0][0].numel() == 24 * 64 * 16  # rows, slots, keys of 2 heads of 8


def test_an_engine_with_other_stops_has_graphs_of_its_own(policy, tokenizer):
    fixed, _ = pair(policy, tokenizer)
    other = replace(fixed, stops=Stops(ids=(tokenizer.eos_token_id, 5)))
    assert other.graphs is not fixed.graphs and other.fixed


def test_a_step_that_is_undone_leaves_no_trace(policy, tokenizer):
    """What a capture does first, on rows that are being drawn."""
    fixed, _ = pair(policy, tokenizer)
    batch = prompt_batch(tokenizer, PROMPTS)
    whole = drawn(fixed, batch)
    for step in fixed.graphs.steps.values():
        step.play = step_with_undone(step)
    again = drawn(fixed, batch)
    assert all(torch.equal(getattr(whole, n), getattr(again, n)) for n in ("tokens", "logp"))


def step_with_undone(step):
    def play():
        step.undone()
        step.undone()
        step()

    return play


# --- where there are none


def test_what_steps_of_fixed_shapes_cannot_be_for():
    reasons = {kind: unfit(model_of(kind)) for kind in KINDS}
    windows = "not all of its layers attend to all tokens"
    assert reasons == {
        **dict.fromkeys(("llama", "gpt2", "qwen3")),
        **dict.fromkeys(("mistral", "gemma3_text"), windows),
    }
    model = model_of("llama")
    model.set_attn_implementation("eager")
    assert unfit(model) == "its attention takes no mask of ours"


@pytest.mark.parametrize("asked", [False, True])
def test_a_cpu_takes_growing_steps_even_where_graphs_are_asked_for(policy, tokenizer, asked):
    made = engine_of(SimpleNamespace(engine="torch", graphs=asked))
    engine = made(policy, stops(tokenizer), tokenizer.pad_token_id)
    drawn(engine, prompt_batch(tokenizer, PROMPTS))
    assert engine.fixed is (None if asked else False) and not engine.graphs.steps


def test_a_model_that_looks_at_values_is_drawn_step_by_step(tokenizer, caplog):
    """Llama whose rotary frequencies follow the longest position of the batch."""
    config = AutoConfig.for_model("llama", vocab_size=len(tokenizer), **SMALL)
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    torch.manual_seed(0)
    model = without_dropout(AutoModelForCausalLM.from_config(config))
    fixed, plain = pair(model, tokenizer)
    batch = prompt_batch(tokenizer, PROMPTS)
    with caplog.at_level(logging.WARNING, logger="rlhf"):
        one, two = drawn(fixed, batch), drawn(plain, batch)
        same(drawn(fixed, batch), two)
    same(one, two)
    assert "its forward pass looks at values" in fixed.graphs.refused
    assert not fixed.graphs.steps and not fixed.graphs.memory
    assert len([r for r in caplog.records if "generation.graphs=false" in r.message]) == 1


def test_looking_at_values():
    x, index = torch.arange(4.0), torch.tensor([1, 2])
    with NoLooks():
        assert x[index].shape == (2,)
        for look in (lambda: bool(x[0] > 1), lambda: x[x > 1], lambda: x.nonzero(), x[1].item):
            with pytest.raises(LooksAtValues):
                look()

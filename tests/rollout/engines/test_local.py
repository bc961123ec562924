"""Parts, shares, order and strings, of both engines."""

from dataclasses import replace

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.conversations import Turn, asked
from rlhf.randomness import generator
from rlhf.rollout.engines.base import Sampling, Stops
from rlhf.rollout.engines.local import by_length, stopped, tail, trimmed
from rlhf.rollout.engines.table import ENGINES
from tests.data.rendering import families
from tests.data.rendering.families import Family
from tests.turns import prompt_batch, rendering, stops

PROMPTS = ("a b c", "d", "e f") * 4


def engine_of(policy, tokenizer, name="torch", **more):
    return ENGINES[name](policy, stops(tokenizer, **more), tokenizer.pad_token_id, tokenizer)


def same(one, other, atol=1e-5):
    for name in ("tokens", "mask", "ended"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("logp", "entropy"):
        assert torch.allclose(getattr(one, name), getattr(other, name), atol=atol), name


# --- what the draws do not depend on


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "limit", [{"rows": 1}, {"rows": 5}, {"rows": 12}, {"rows": 100}, {"tokens": 40}, {"tokens": 1}]
)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.5, "top_p": 0.9}])
def test_accum_invariance_of_generation(policy, tokenizer, name, limit, sampling):
    """Rows that are drawn in parts have the draws of all rows together."""
    batch = prompt_batch(tokenizer, PROMPTS)
    whole = engine_of(policy, tokenizer, name)
    settings = Sampling(max_new_tokens=12, **sampling)
    one, two = generator(0, "test"), generator(0, "test")
    together = whole.respond(batch, settings, one)
    parts = replace(whole, at_once=AtOnce(**limit)).respond(batch, settings, two)
    assert together.ended.any() and not together.ended.all()
    same(parts, together)
    assert parts.prompt is batch
    assert torch.equal(one.get_state(), two.get_state())


@pytest.mark.parametrize("name", ENGINES)
def test_rows_of_a_batch_have_the_whole_batchs_draws(policy, tokenizer, name):
    batch = prompt_batch(tokenizer, ["a b c", "d", "e f", "g"] * 2)
    engine, settings = engine_of(policy, tokenizer, name), Sampling(max_new_tokens=8)
    whole = engine.respond(batch, settings, generator(0, "test"))
    for rows in (torch.arange(rank, 8, 3) for rank in range(3)):
        for at_once in (AtOnce(), AtOnce(rows=1)):
            own = replace(engine, at_once=at_once).respond(
                batch.rows(rows), settings, generator(0, "test"), rows
            )
            length = own.tokens.shape[1]
            assert torch.equal(own.tokens, whole.tokens[rows][:, :length])
            assert torch.equal(own.mask, whole.mask[rows][:, :length])
            assert not whole.mask[rows][:, length:].any()


def test_the_order_of_the_rows_and_more_steps_change_no_draw(policy, tokenizer):
    batch, engine = prompt_batch(tokenizer, PROMPTS), engine_of(policy, tokenizer)
    whole = engine.respond(batch, Sampling(max_new_tokens=8), generator(0, "test"))
    order = torch.arange(12).flip(0)
    other = engine.respond(
        batch.rows(order), Sampling(max_new_tokens=8), generator(0, "test"), order
    )
    same(other.rows(order), replace(whole, prompt=batch))
    longer = engine.respond(batch, Sampling(max_new_tokens=11), generator(0, "test"))
    assert torch.equal(longer.tokens[:, :8], whole.tokens)


@pytest.mark.parametrize("name", ENGINES)
def test_several_stop_ids_and_a_string_in_parts(policy, tokenizer, name):
    """Rows end with EOS, with the id of " b" or with the string " c d", in parts as together."""
    ids = (tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(" b"))
    batch, settings = prompt_batch(tokenizer, ["a b c", "d"] * 48), Sampling(max_new_tokens=10)
    held = replace(engine_of(policy, tokenizer, name), stops=Stops(ids=ids, texts=("c d",)))
    whole = held.respond(batch, settings, generator(0, "test"))
    last = whole.tokens.gather(1, whole.mask.sum(1, keepdim=True) - 1).squeeze(1)
    by_string = whole.ended & ~torch.isin(last, torch.tensor(ids))
    assert {*ids} <= {*last.tolist()} and by_string.any() and not whole.ended.all()
    for row, mask in zip(whole.tokens[by_string], whole.mask[by_string], strict=True):
        assert tokenizer.decode(row[mask]).endswith("c d")
    for limit in ({"rows": 7}, {"tokens": 60}):
        parts = replace(held, at_once=AtOnce(**limit))
        same(parts.respond(batch, settings, generator(0, "test")), whole)


# --- parts


def test_parts_by_hand():
    """Prompts of 5, 1, 3, 1 and 4 tokens and 2 new ones. By tokens each row counts as its part's
    longest: 12 hold 2 x 6, not 3 x 5 nor 2 x 7; 15 do."""
    lengths = torch.tensor([5, 1, 3, 1, 4])
    for limits, expected in (
        ({}, [[0, 1, 2, 3, 4]]),
        ({"rows": 2}, [[1, 3], [2, 4], [0]]),
        ({"tokens": 12}, [[1, 3], [2, 4], [0]]),
        ({"tokens": 15}, [[1, 3, 2], [4, 0]]),
        ({"tokens": 1}, [[1], [3], [2], [4], [0]]),
        ({"tokens": 100, "rows": 3}, [[1, 3, 2], [4, 0]]),
    ):
        parts = by_length(lengths, 2, AtOnce(**limits))
        assert [part.tolist() for part in parts] == expected


def test_columns_that_pad_all_rows_go(tokenizer):
    batch = prompt_batch(tokenizer, ["a b c", "d", "e f"])
    short = trimmed(batch.rows(torch.tensor([1, 2])))
    assert short.mask.tolist() == [[False, True], [True, True]]
    assert torch.equal(short.tokens, batch.tokens[1:, 1:])
    assert trimmed(batch) is batch
    nothing = replace(batch, mask=torch.zeros_like(batch.mask))
    assert trimmed(nothing).mask.shape == (3, 1)


# --- strings


def first_stop(ids, held, tokenizer):
    """How many of the ids there are when a stop string is complete, read as an engine does."""
    read = ([*ids[:end][-tail(held) :]] for end in range(1, len(ids) + 1))
    return next((n for n, row in enumerate(read, 1) if stopped([row], held, tokenizer)[0]), None)


def test_a_string_of_letters_that_are_several_tokens_each():
    """Two parrots are 8 bytes, and here 8 tokens."""
    tokenizer = families.build(Family(eos="</s>", kind="bytes"))
    ids = tokenizer("so 🦜🦜", add_special_tokens=False)["input_ids"]
    assert len(ids) > 8
    assert first_stop(ids, Stops(ids=(0,), texts=("x", "🦜🦜")), tokenizer) == len(ids)


@pytest.mark.parametrize("kind", ["always", "first", "legacy", "never"])
def test_a_string_that_begins_with_a_space_is_seen_by_tokenizers_that_put_one(kind):
    """Also where it is all that is said."""
    tokenizer = families.build(Family(eos="</s>", bos="<s>", kind=kind, adds_bos=True))
    made = rendering(tokenizer)
    for answer in (" the sky", " sea and the sky"):
        row = made.conversations([(*asked("a"), Turn("assistant", answer))])[0]
        first, after = row.answers[0]
        ids = row.ids[first : after - 1]
        assert first_stop(ids, Stops.of(made, [" the sky"]), tokenizer) == len(ids)

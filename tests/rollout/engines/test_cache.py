import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from rlhf.functional.sequences import positions
from rlhf.models.load import without_dropout
from rlhf.rollout.engines.cache import BufferLayer, cache_of, keep_rows
from rlhf.rollout.engines.prefill import by_cost, read_prompts, read_step
from rlhf.types import PromptBatch
from tests.turns import prompts

SMALL = {
    **{"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2},
    **{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8},
}
KINDS = {  # settings, and how many of the layers have buffers
    "llama": ({**SMALL}, 2),
    "gpt2": ({"n_embd": 16, "n_layer": 2, "n_head": 2}, 2),
    "qwen3": ({**SMALL}, 2),
    "mistral": ({**SMALL, "sliding_window": 4}, 0),
    "gemma3_text": (
        {**SMALL, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
        1,
    ),
}
ROWS, WIDTH, STEPS = 5, 6, 7
LENGTHS = torch.tensor([6, 1, 3, 2, 5])


def model_of(kind):
    config = AutoConfig.for_model(kind, vocab_size=40, **KINDS[kind][0])
    torch.manual_seed(0)
    return without_dropout(AutoModelForCausalLM.from_config(config))


def batch():
    mask = torch.arange(WIDTH) >= WIDTH - LENGTHS[:, None]
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(40, (ROWS, WIDTH), generator=random)
    return PromptBatch(tokens=tokens, mask=mask, prompts=prompts(*"abcde"))


@torch.no_grad()
def logits_of(model, cache, keep_at=None, keep=keep_rows):
    """Of prompts and STEPS fixed tokens; from the step `keep_at` on only of the rows 0, 2, 3."""
    given = batch()
    tokens, mask, place = given.tokens, given.mask, positions(given.mask)
    every = []
    for step in range(STEPS):
        every.append(read_step(model, tokens, mask, place, cache))
        rows = torch.arange(len(mask))
        if step == keep_at:
            rows = torch.tensor([0, 2, 3])
            keep(cache, rows)
        tokens = torch.full((len(rows), 1), 3 + step)
        mask = torch.cat([mask[rows], torch.ones_like(tokens, dtype=torch.bool)], 1)
        place = place[rows][:, -1:] + 1
    return every


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keep_at", [None, 2])
def test_a_buffer_gives_the_bits_of_concatenation(kind, keep_at):
    """Beside layers with sliding windows, too, and after rows have left."""
    model = model_of(kind)
    ours = cache_of(model.config, WIDTH + STEPS)
    assert sum(isinstance(layer, BufferLayer) for layer in ours.layers) == KINDS[kind][1]
    theirs = DynamicCache(config=model.config)
    for one, two in zip(*(logits_of(model, c, keep_at) for c in (ours, theirs)), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_stay_read_on_as_if_no_row_had_left(kind):
    model = model_of(kind)
    whole, kept = (logits_of(model, cache_of(model.config, WIDTH + STEPS), at) for at in (None, 2))
    for step in range(STEPS):
        rows = [0, 2, 3] if step > 2 else range(ROWS)
        assert torch.allclose(kept[step], whole[step][[*rows]], atol=1e-5)


def test_a_buffer_is_taken_once():
    layer = BufferLayer(8)
    places = set()
    for step in range(3):
        states = torch.full((2, 1, 2, 4), float(step))
        keys, values = layer.update(states, states + 10)
        assert keys.shape == (2, 1, 2 * step + 2, 4) and layer.get_seq_length() == 2 * step + 2
        places.add(keys.data_ptr())
    assert keys[1, 0, :, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert values[0, 0, :, 0].tolist() == [10, 10, 11, 11, 12, 12]
    layer.reorder_cache(torch.tensor([1]))
    assert layer.keys.shape == (1, 1, 6, 4) and places == {layer.keys.data_ptr()}


@torch.no_grad()
def test_prompts_that_are_read_in_groups_are_read_as_together(monkeypatch):
    """In groups of 2 and 3 by length; the next token's logits agree as well."""
    model, given = model_of("llama"), batch()

    def read(groups):
        monkeypatch.setattr("rlhf.rollout.engines.prefill.by_cost", lambda *_: groups)
        cache = cache_of(model.config, WIDTH + 1)
        first = read_prompts(model, given, cache)
        attention = torch.cat([given.mask, torch.ones(ROWS, 1, dtype=torch.bool)], 1)
        place = positions(given.mask)[:, -1:] + 1
        return first, read_step(model, torch.full((ROWS, 1), 7), attention, place, cache)

    together = read([torch.arange(ROWS)])
    groups = read([torch.tensor([1, 3]), torch.tensor([2, 4, 0])])
    for one, two in zip(together, groups, strict=True):
        assert torch.allclose(one, two, atol=1e-5) and not one.isnan().any()


def test_groups_by_hand():
    """32 prompts of 4 tokens and 32 of 20 in four groups: 2 x 16 x 16 tokens of padding less. At a
    hidden size of 64 they cost less than three passes, 512 x 64^2 < 3 x 1.25e6; at 256 more."""
    lengths = torch.tensor([4, 20] * 32)
    assert len(by_cost(lengths, 64)) == 1
    groups = by_cost(lengths, 256)
    assert [len(rows) for rows in groups] == [16] * 4
    assert [lengths[rows].unique().tolist() for rows in groups] == [[4], [4], [20], [20]]
    assert sorted(torch.cat(groups).tolist()) == [*range(64)]
    assert len(by_cost(lengths[:31], 256)) == 1  # too few
    assert len(by_cost(torch.full((64,), 20), 256)) == 1  # nothing to save

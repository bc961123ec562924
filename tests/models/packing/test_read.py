"""Numbers, gradients and layouts of networks that read rows of different length; the padded layout
is the oracle."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf.functional.vocabulary import read
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.load import scalar_model_from
from rlhf.models.packing.attention import NAME, attending
from rlhf.models.packing.choice import layout_of
from rlhf.models.packing.layouts import Layout
from rlhf.models.packing.read import logits_at, spread, states_at, takes_masks
from rlhf.models.training.recompute import recomputed
from tests.conftest import tiny

SIZES = {
    **{"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
FAMILIES = {
    "llama": (Layout.PACKED, {}),  # two heads of keys for four of queries
    "gpt2": (Layout.PACKED, {"n_embd": 32, "n_layer": 2, "n_head": 4}),
    "qwen3": (Layout.PACKED, {"head_dim": 8}),
    "opt": (Layout.PACKED, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "gemma2": (Layout.CHUNKS, {"head_dim": 8, "sliding_window": 4}),  # and capped logits
    "mistral": (Layout.CHUNKS, {"sliding_window": 4}),
    "bloom": (Layout.CHUNKS, {"n_layer": 2, "n_head": 4}),  # no choice of attention
    "gpt_neo": (
        Layout.CHUNKS,
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
    ),
    "mamba": (Layout.CHUNKS, {}),
}


def of_family(kind, **more):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **FAMILIES[kind][1], **more})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.ndim > 1 else None
    return attending(model, {})


def rows():
    """Prompts of 1 to 6 tokens, padded on the left; responses of 0 to 7, padded on the right."""
    draws = torch.Generator().manual_seed(1)
    prompts, responses = torch.tensor([6, 1, 3, 6, 2]), torch.tensor([7, 2, 0, 7, 5])
    tokens = torch.randint(3, 19, (5, 13), generator=draws)
    places = torch.arange(13)
    attention = (places >= 6 - prompts[:, None]) & (places < 6 + responses[:, None])
    keep = (places >= 5) & (places < 5 + responses[:, None])  # what predicts the responses
    return tokens, attention, keep


def close(one, other, tolerance=1e-5):
    return (one - other).abs().max() <= tolerance * other.abs().max()


def gradients(model, loss):
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(
            parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
        )
    ]


def same_gradients(model, one, other, tolerance=1e-5):
    whole, again = (torch.cat([g.flatten() for g in gradients(model, x)]) for x in (one, other))
    return close(again, whole, tolerance)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_layout_changes_no_logit_and_no_gradient(kind):
    model, (tokens, attention, keep) = of_family(kind), rows()
    assert layout_of(model) is FAMILIES[kind][0] and takes_masks(model)
    labels = tokens[:, 1:][keep[:, :-1]]
    own, oracle = (
        logits_at(model, tokens, attention, keep, layout) for layout in (None, Layout.PADDED)
    )
    assert own.shape == (21, 40) and close(own, oracle)
    losses = [read(logits, labels, entropy=True) for logits in (own, oracle)]
    one, other = (loss.logp.mean() + loss.entropy.mean() for loss in losses)
    assert torch.allclose(one, other, atol=1e-5)
    assert same_gradients(model, one, other)


def test_a_rows_logits_are_its_own(architecture, tokenizer):
    """Whatever stands beside it: each row by itself, without padding, in every layout."""
    model, (tokens, attention, _) = tiny(tokenizer, architecture), rows()
    alone = torch.cat(
        [model(input_ids=t[a][None]).logits[0] for t, a in zip(tokens, attention, strict=True)]
    )
    for layout in Layout:
        assert close(logits_at(model, tokens, attention, attention, layout), alone)


def test_several_chunks_come_in_reading_order(architecture, tokenizer, monkeypatch):
    monkeypatch.setattr("rlhf.models.packing.layouts.CHUNK", 9)
    model, (tokens, attention, keep) = tiny(tokenizer, architecture), rows()
    own, oracle = (
        logits_at(model, tokens, attention, keep, layout)
        for layout in (Layout.CHUNKS, Layout.PADDED)
    )
    assert close(own, oracle) and same_gradients(model, own.square().sum(), oracle.square().sum())


@pytest.mark.parametrize("layout", Layout)
def test_rows_alone_and_rows_without_anything_to_read(architecture, tokenizer, layout):
    model, (tokens, attention, keep) = tiny(tokenizer, architecture), rows()
    one = logits_at(model, tokens[:1], attention[:1], keep[:1], layout)
    assert close(one, logits_at(model, tokens, attention, keep, Layout.PADDED)[:7])
    nothing = logits_at(model, tokens, attention, torch.zeros_like(keep), layout)
    assert nothing.shape == (0, 19)
    nothing.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_a_network_in_eval_mode_without_lens_is_sdpas(architecture, tokenizer):
    """To the bit, with a cache too: the engines call it so."""
    model, (tokens, attention, _) = tiny(tokenizer, architecture), rows()
    assert model.config._attn_implementation == NAME
    plain = {"input_ids": tokens, "attention_mask": attention.long()}
    calls = [plain | {"use_cache": False}, plain | {"use_cache": True}]
    ours = [model(**call) for call in calls]
    following = {"input_ids": tokens[:, :1], "past_key_values": ours[1].past_key_values}
    ours.append(model(**following))
    model.set_attn_implementation("sdpa")
    theirs = [model(**call) for call in calls]
    theirs.append(model(**following | {"past_key_values": theirs[1].past_key_values}))
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(ours, theirs, strict=True))
    assert layout_of(model) is Layout.CHUNKS  # what a user who asks for sdpa gets


def test_scalar_models_read_values_and_scores_as_in_the_padded_layout(architecture, tokenizer):
    scalar = scalar_model_from(tiny(tokenizer, architecture), seed=0)
    tokens, attention, keep = rows()
    assert layout_of(scalar.network) is Layout.PACKED
    padded = scalar(tokens, attention)
    values = scalar.values(tokens, attention, 7)
    counted = attention[:, 6:]
    oracle = padded[:, 5:-1].masked_fill(~counted, 0.0)
    assert torch.allclose(values, oracle, atol=1e-5)
    assert same_gradients(scalar, values.square().sum(), oracle.square().sum())
    last = 5 + counted.sum(dim=1)
    expected = padded.gather(1, last[:, None]).squeeze(1)
    assert torch.allclose(scalar.score(tokens, attention), expected, atol=1e-5)
    states = states_at(scalar.network, tokens, attention, keep)
    assert close(states, scalar.states(tokens, attention)[keep])


def test_views_of_a_shared_network_read_under_their_own_adapter(architecture, tokenizer):
    shared = SharedBackbone(tiny(tokenizer, architecture))
    for seed, name in enumerate(("policy", "value")):
        shared.add(name, Lora(r=2, alpha=4.0), seed=seed)
        for layer in shared.layers_of(name).values():
            torch.nn.init.normal_(layer.lora_B[name].weight)
    policy, value = PolicyView(shared, "policy"), ScalarView(shared, "value")
    tokens, attention, keep = rows()
    for view in (policy, value):
        view.requires_grad_(True)

    def losses(layout):
        logits = logits_at(policy, tokens, attention, keep, layout)
        with shared.using("value"):
            states = states_at(value.network, tokens, attention, keep, layout)
        return logits.square().mean() + value.read(states).square().mean()

    assert layout_of(shared.model) is Layout.PACKED
    both = torch.nn.ModuleList([policy, value])
    assert same_gradients(both, losses(None), losses(Layout.PADDED))
    with recomputed(policy, value):
        again = losses(None)
    assert same_gradients(both, again, losses(Layout.PADDED))


@pytest.mark.parametrize("layout", Layout)
def test_layers_that_are_computed_again_give_the_same_gradients(tokenizer, architecture, layout):
    model, rest = tiny(tokenizer, architecture), rows()
    plain = logits_at(model, *rest, layout).square().sum()
    with recomputed(model):
        again = logits_at(model, *rest, layout).square().sum()
    assert torch.equal(plain, again) and same_gradients(model, again, plain, 1e-6)


@pytest.mark.parametrize("mixed", [True, False])
def test_16_bits(tokenizer, architecture, mixed):
    """As far as they go: 8 of them are the number's."""
    model, rest = tiny(tokenizer, architecture), rows()
    exact = logits_at(model, *rest)
    model = model if mixed else model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        own, oracle = logits_at(model, *rest), logits_at(model, *rest, Layout.PADDED)
    assert own.dtype == torch.bfloat16
    assert (own - exact).abs().mean() <= 1.5 * (oracle - exact).abs().mean()


def test_numbers_are_spread_with_their_gradient():
    numbers = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    mask = torch.tensor([[True, False], [True, True]])
    placed = spread(numbers, mask)
    assert placed.tolist() == [[1.0, 0.0], [2.0, 3.0]]
    (placed * torch.tensor([[2.0, 5.0], [3.0, 4.0]])).sum().backward()
    assert numbers.grad.tolist() == [2.0, 3.0, 4.0]


def test_a_network_that_takes_no_mask_gives_all_its_logits(policy, monkeypatch):
    monkeypatch.setattr("rlhf.models.packing.read.takes_masks", lambda network: False)
    tokens, attention, keep = rows()
    own = logits_at(policy, tokens, attention, keep)
    assert close(own, logits_at(policy, tokens, attention, keep, Layout.PADDED))
    assert own.shape == (21, policy.config.vocab_size)


def test_the_attention_is_no_part_of_what_is_saved(policy, tmp_path):
    policy.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()

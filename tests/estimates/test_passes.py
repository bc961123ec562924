"""What a forward pass keeps: by hand for h 4, i 8, 2 layers; and counted by torch's own hooks."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from rlhf.estimates import adapters, passes
from rlhf.estimates.passes import PRECISIONS, Pass, Rows
from rlhf.estimates.shape import shape_of
from tests.estimates.test_shape import SMOLLM2, TINY

SHAPE = shape_of(TINY)
ROWS = Rows(count=3, tokens=5, response=2)


def test_of_a_layer():
    """Norms 16, inputs 8, attention 16, MLP 32. Under autocast norms have 32 bits, and each of five
    linear layers its own copy of its input; eager attention keeps 2 heads of 5 weights."""
    assert passes.layer_bytes(SHAPE, 5, Pass()) == 4 * (16 + 8 + 16 + 32)
    mixed = Pass(precision=PRECISIONS["bf16-mixed"])
    assert passes.layer_bytes(SHAPE, 5, mixed) == 4 * 16 + 2 * (20 + 16 + 32)
    assert passes.layer_bytes(SHAPE, 5, Pass(eager=True)) == 4 * (72 + 10)


def test_of_a_layer_beside_adapters():
    """Frozen norms keep their input alone. With all layers adapted inputs stay as they are; with q
    and v neither the MLP's input nor that of its last layer."""
    every = Pass(adapted=adapters.adapted("all-linear"))
    assert passes.layer_bytes(SHAPE, 5, every) == 4 * (8 + 8 + 16 + 32)
    two = Pass(adapted=adapters.adapted("default"))
    assert passes.layer_bytes(SHAPE, 5, two) == 4 * (8 + 4 + 16 + 24)


def test_checkpointing_keeps_inputs():
    """16 bytes in each of 2 layers, one layer's 288, and 96 on the way back."""
    how = Pass(checkpointing=True, on_gpu=True)
    assert passes.activations(SHAPE, ROWS, how) == 15 * (2 * 16 + 288 + 96)


def test_logits_cache_and_reading():
    how = Pass()
    assert passes.logits(SHAPE, ROWS, 4, how) == 4 * 4 * 3 * 2 * 10
    assert passes.cache(SHAPE, ROWS, how) == 4 * 15 * 3 * 8
    assert passes.reading(SHAPE, ROWS, how) == 4 * 15 * (16 + 24)
    assert passes.reading(SHAPE, ROWS, Pass(eager=True)) == 4 * 15 * (16 + 24 + 10)


def test_micro_batches():
    assert ROWS.at_most(2).count == 2
    assert ROWS.at_most(None) == ROWS.at_most(9) == ROWS


@pytest.mark.parametrize(("targets", "each"), [("all-linear", 10_176), ("default", 1920)])
def test_parameters_of_an_adapter(targets, each):
    """SmolLM2: q 576 + 576, k and v 576 + 192, o 576 + 576, gate and up 576 + 1536, down 1536 +
    576: 10,176 a rank and layer, 4.88 million at rank 16 (counted in PEFT: STACK)."""
    shape = shape_of(SMOLLM2)
    layers = adapters.adapted(targets)
    assert adapters.parameters(shape, layers, 16) == 16 * 30 * each


def test_names_of_layers():
    assert adapters.adapted(["q_proj", "mlp.down_proj"]) == {"q", "down"}
    assert adapters.adapted(["c_attn"]) == {"q", "k", "v"}
    assert adapters.adapted(["something"]) == frozenset()


LLAMA = LlamaConfig(
    vocab_size=100,
    hidden_size=64,
    intermediate_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
)
GPT2 = GPT2Config(vocab_size=100, n_embd=64, n_layer=4, n_head=4, bos_token_id=1, eos_token_id=1)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_as_torch_counts_them(config, attention, precision):
    """Bytes of the tensors that autograd saves, weights and their casts aside, with padded rows."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    rows = Rows(count=16, tokens=64, response=0)
    weights = {p.shape for p in model.parameters()} | {p.shape[::-1] for p in model.parameters()}
    storages = {}

    def keep(tensor):
        if tensor.shape not in weights:
            storages[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(3, 90, (rows.count, rows.tokens))
    mask = torch.ones_like(ids)
    mask[0, :9] = 0
    amp = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), amp:
        model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
    counted = sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
    how = Pass(precision=PRECISIONS[precision], eager=attention == "eager")
    a_token = passes.layer_bytes(shape_of(config.to_dict()), rows.tokens, how)
    assert 4 * a_token * rows.all_tokens == pytest.approx(counted, rel=0.12)


def test_real_tokens_of_rows():
    """Four rows of 5 tokens at most and 2 on average: 8, and 3 for each of sqrt(4) rows."""
    rows = Rows(count=4, tokens=5, response=5, mean=2.0)
    assert rows.all_tokens == 14
    assert rows.at_most(1).all_tokens == 5
    assert Rows(count=4, tokens=5, response=2).all_tokens == 20

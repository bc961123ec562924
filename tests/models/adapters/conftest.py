"""Tiny networks of three kinds: Llama's linear layers, GPT-2's Conv1D, NeoX's fused ones."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from rlhf.models.load import without_dropout
from rlhf.randomness import generator, seeded_global_rng
from tests.conftest import tiny

IDS = torch.tensor([[3, 4, 5, 6, 7], [0, 0, 4, 3, 8]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]], dtype=torch.bool)


@pytest.fixture(params=["llama", "gpt2", "neox"])
def kind(request):
    return request.param


def causal_lm(tokenizer, kind, seed=0):
    if kind != "neox":
        return tiny(tokenizer, kind, seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    with seeded_global_rng(seed, "neox"):
        model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0) if parameter.ndim > 1 else None
    return without_dropout(model)


def logits(model, grad=False):
    with torch.set_grad_enabled(grad):
        return model(input_ids=IDS, attention_mask=MASK.long(), use_cache=False).logits


@torch.no_grad()
def shaken(shared, name, seed=0):
    """The adapter after some training: its numbers, B's too, moved at random."""
    for at, layer in shared.layers_of(name).items():
        random = generator(seed, "shaken", name, at)
        for linear in (layer.lora_A[name], layer.lora_B[name]):
            linear.weight.add_(torch.randn(linear.weight.shape, generator=random) * 0.2)

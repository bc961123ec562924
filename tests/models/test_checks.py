import pytest
import torch
from torch import nn
from transformers import GPT2Config, LlamaConfig, MambaConfig, XLNetConfig

from rlhf.data.tokenizers import word_level
from rlhf.models.checks import (
    positions_of,
    precision_faults,
    vocabulary_faults,
    vocabulary_size,
)


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (GPT2Config(n_positions=32), 32),
        (LlamaConfig(max_position_embeddings=48), 48),
        (MambaConfig(), None),
        (XLNetConfig(), None),  # it says -1
        (None, None),
    ],
)
def test_positions_of_a_configuration(config, positions):
    assert positions_of(config) == positions


def test_a_tokenizer_larger_than_the_embedding():
    """Ids 0 to 4: <pad>, <eos>, <unk>, a, b."""
    tokenizer = word_level(["a a b"])
    size = vocabulary_size(tokenizer)
    assert vocabulary_faults(tokenizer, size) == vocabulary_faults(tokenizer, size + 9) == []
    (fault,) = vocabulary_faults(tokenizer, size - 1)
    assert fault.startswith("an id lies outside the model (")
    assert f"{size - 1} rows (ids 0 to {size - 2})" in fault
    (fault,) = vocabulary_faults(tokenizer, 1)
    assert fault.startswith(f"{size - 1} of the tokenizer's ids lie outside the model (<eos> = 1")


def test_a_pad_token_that_was_added_after_the_model_was_made():
    tokenizer = word_level(["a a b"])
    size = vocabulary_size(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    (fault,) = vocabulary_faults(tokenizer, size)
    assert fault.startswith(f"the pad token [PAD] has the id {size}, but")
    assert "pad_token = eos_token" in fault and "resize_token_embeddings" in fault


def test_trained_weights_of_16_bits_are_refused():
    """At lr 1e-6 a weight of 0.1 in bfloat16 stays where it is: its neighbours are 0.0004 away."""
    weight = torch.tensor(0.1, dtype=torch.bfloat16)
    assert weight - 1e-6 == weight
    assert precision_faults(nn.Linear(2, 2)) == []
    narrow = nn.Linear(2, 2).to(torch.bfloat16)
    (fault,) = precision_faults(narrow)
    assert "bfloat16" in fault and "trainer.precision=bf16-mixed" in fault
    assert precision_faults(narrow.requires_grad_(False)) == []

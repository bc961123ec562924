import json

import pytest
import torch
from safetensors.torch import save_file

from rlhf.config.pieces.model import HFModel
from rlhf.data.tokenizers import word_level
from rlhf.estimates.saved import folder_of, parameters_in, tiny_config
from rlhf.estimates.shape import shape_of
from rlhf.models.load import TinyModel, parameter_count

SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
# a llama worked by hand: h 4, i 8, 2 layers of 2 heads of 2, 10 words
TINY = {
    "model_type": "llama",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 10,
    "tie_word_embeddings": True,
}


def test_a_tiny_llama_by_hand():
    """Embedding 10 * 4 = 40; a layer 4 * 16 (attention) + 3 * 32 (MLP) + 2 * 4 (norms) = 168; the
    last norm 4."""
    shape = shape_of(TINY)
    assert shape.parameters == 40 + 2 * 168 + 4 == 380
    assert shape.kv_width == 2 * 2 * 2
    assert shape.backbone == 380
    own_head = shape_of({**TINY, "tie_word_embeddings": False})
    assert (own_head.parameters, own_head.backbone) == (420, 380)
    assert (own_head.last(1), own_head.last(2)) == (170, 340)


def test_smollm2():
    """134.5 million: 538 MB of float32."""
    shape = shape_of(SMOLLM2)
    assert shape.parameters == 134_515_008
    assert 4 * shape.parameters == 538_060_032
    assert shape.kv_width == 2 * 3 * 64


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_as_transformers_counts(architecture, tokenizer):
    model = TinyModel(architecture=architecture, hidden_size=16, layers=3, heads=2, seed=0)
    config = model.config(tokenizer)
    assert shape_of(config.to_dict()).parameters == parameter_count(config)
    assert shape_of(tiny_config(model, len(tokenizer))).parameters == parameter_count(config)


def test_a_family_that_is_not_known_is_counted_in_its_files(tmp_path):
    config = {**TINY, "model_type": "mamba"}
    assert shape_of(config) is None
    weights = {"a": torch.zeros(3, 5), "b": torch.zeros(2), "mask": torch.zeros(7).bool()}
    save_file(weights, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"c": torch.zeros(4).half()}, tmp_path / "model-00002-of-00002.safetensors")
    assert parameters_in(tmp_path) == 15 + 2 + 4
    assert shape_of(config, 21).parameters == 21


def test_files_that_are_none(tmp_path):
    assert parameters_in(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ValueError, match="no header"):
        parameters_in(tmp_path)


def test_a_configuration_that_does_not_tell():
    assert shape_of({"model_type": "llama"}) is None
    text = shape_of({"model_type": "x", "text_config": TINY, "vocab_size": 3})
    assert text.parameters == 380  # of the language model in it


def test_a_folder_and_a_name_that_is_not_here(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    model = {"_target_": "rlhf.models.load.HFModel", "revision": None, "dtype": "float32"}
    piece = HFModel.model_validate({**model, "path": str(tmp_path), "trust_remote_code": False})
    assert folder_of(piece) == tmp_path
    gone = HFModel.model_validate({**model, "path": "no/such", "trust_remote_code": False})
    assert folder_of(gone) is None


def test_words_are_no_more_than_the_shipped_sources_have():
    assert len(word_level(["a b"])) < 300

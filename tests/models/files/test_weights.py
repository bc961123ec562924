import math

import pytest
import torch

from rlhf.models.load import load_causal_lm, load_scalar_model, scalar_model_from
from rlhf.rundir.errors import NonFinite
from tests.conftest import tiny


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_finite_or_nothing_names_the_tensor_of_a_loaded_model(tokenizer, tmp_path, value):
    model = tiny(tokenizer)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, :2] = value
    model.save_pretrained(tmp_path / "policy")
    with pytest.raises(NonFinite, match=r"policy: .*model.layers.1.mlp.up_proj.weight \(2 entries"):
        load_causal_lm(tmp_path / "policy")
    scalar = scalar_model_from(model, seed=0)
    scalar.save(tmp_path / "reward", tokenizer)
    with pytest.raises(NonFinite, match=r"reward: .*model.layers.1.mlp.up_proj.weight"):
        load_scalar_model(tmp_path / "reward")


def test_a_sound_model_is_loaded(tokenizer, tmp_path):
    saved = tiny(tokenizer)
    saved.save_pretrained(tmp_path)
    loaded = dict(load_causal_lm(tmp_path).named_parameters())
    assert all(torch.equal(weight, loaded[name]) for name, weight in saved.named_parameters())

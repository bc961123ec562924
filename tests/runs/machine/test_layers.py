"""Names in adapter.targets, against the layers that a model's files have."""

import pytest

from rlhf.config.compose import compose, validate
from rlhf.runs.machine.faults import machine_faults
from rlhf.runs.machine.layers import layers_of, target_faults
from tests import outside

LORA = "model/adapter=lora"


def faults(*words):
    return [*target_faults(validate(compose([LORA, *words])))]


@pytest.fixture
def given(tmp_path):
    words = outside.bpe()
    folder = outside.saved(tmp_path / "model", outside.llama(words), words)
    return ("model=hf", f"model.path={folder}")


def test_a_name_that_no_layer_has(given):
    known = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    for model in ((), given):
        assert faults(*model, "adapter.targets=[q_prj,v_proj]") == [
            f"adapter.targets: no layer of the network is called q_prj; it has {known};"
            " did you mean q_proj?"
        ]
    assert faults("model.architecture=gpt2", "adapter.targets=[q_proj]") == [
        "adapter.targets: no layer of the network is called q_proj; it has c_attn, c_fc, c_proj;"
        " did you mean c_proj?"
    ]


def test_names_that_layers_have(given):
    assert faults("adapter.targets=[q_proj,down_proj]") == faults() == []
    assert faults(*given, "adapter.targets=[q_proj,self_attn.v_proj]") == []
    assert faults(*given, "adapter.targets=[model.layers.0.mlp.up_proj]") == []
    # of a model that is not here nothing is known
    assert faults("model=hf", "model.path=some/model", "adapter.targets=[query]") == []
    assert faults("adapter.targets=[self_attn.q_proj]") == []
    # and without an adapter nothing is asked
    assert [*target_faults(validate(compose([])))] == []


def test_the_layers_of_a_given_policy(given):
    policy = given[1].replace("model.path", "sft.path")
    cfg = validate(compose([LORA, policy]))
    assert "model.layers.0.self_attn.q_proj" in layers_of(cfg)


def test_it_is_asked_before_anything_is_made():
    cfg = validate(compose([LORA, "adapter.targets=[q_prj]"]))
    assert any("is called q_prj" in fault for fault in machine_faults([cfg]))

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.kept import keep, read, write
from rlhf.models.adapters.load import merged, merged_scalar, policy_from, scalar_from
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.load import load_causal_lm
from rlhf.rundir.errors import ModelError, NonFinite
from tests.models.adapters.conftest import IDS, MASK, causal_lm, logits, shaken

LORA = Lora(r=4, alpha=8)
ROW = IDS[:1]


@pytest.fixture
def made(tokenizer, kind, tmp_path):
    return make(tokenizer, kind, tmp_path)


@pytest.fixture
def llama(tokenizer, tmp_path):
    return make(tokenizer, "llama", tmp_path)


def make(tokenizer, kind, at):
    """Folders of a network, a policy's and a reward model's adapter, and the views themselves."""
    model = causal_lm(tokenizer, kind)
    model.save_pretrained(at / "base")
    shared = SharedBackbone(model)
    for name in ("policy", "reward"):
        shared.add(name, LORA, seed=0)
        shaken(shared, name)
    policy, reward = PolicyView(shared, "policy"), ScalarView(shared, "reward", seed=3)
    reward.normalize(torch.tensor([1.0, 2.0, 6.0]))
    digest = shared.digest()
    for view, name in ((policy, "policy"), (reward, "reward")):
        write(keep(view, digest), at / name, view, base=str(at / "base"))
    return at, policy, reward


def fresh(at):
    return SharedBackbone(load_causal_lm(at / "base"))


def raw(reward):
    """The head's reading at the last token, before the normalisation."""
    mean, std = reward.normalization
    with torch.no_grad():
        return reward.head(reward.states(ROW, MASK[:1]))[:, -1, 0], mean, std


def test_a_policys_folder_is_loaded_by_peft_to_the_bit(made, kind):
    at, policy, _ = made
    folder, expected = at / "policy", logits(policy)
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "backbone.json",
    }
    loaders = (
        lambda: PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(at / "base"), folder
        ),
        lambda: AutoPeftModelForCausalLM.from_pretrained(folder),
        lambda: AutoModelForCausalLM.from_pretrained(folder),
    )
    for load in loaders:
        assert torch.equal(logits(load().eval()), expected)


def test_a_reward_models_folder_is_loaded_by_peft_to_the_bit(made):
    at, _, reward = made
    expected, _, _ = raw(reward)
    base = AutoModelForSequenceClassification.from_pretrained(at / "base", num_labels=1)
    models = (
        PeftModel.from_pretrained(base, at / "reward"),
        AutoModelForSequenceClassification.from_pretrained(at / "reward", num_labels=1),
    )
    for model in models:
        for parameter in model.parameters():
            # where the file is mapped, an address may call for another kernel
            parameter.data = parameter.data.clone()
        with torch.no_grad():
            assert torch.equal(model.eval()(input_ids=ROW).logits[:, 0], expected)


def test_a_folder_is_loaded_beside_a_network_to_the_bit(made):
    at, policy, reward = made
    shared = fresh(at)
    policy2 = policy_from(shared, "policy", read(at / "policy"))
    reward2 = scalar_from(shared, "reward_model", read(at / "reward"))
    assert torch.equal(logits(policy2), logits(policy))
    assert reward2.normalization == reward.normalization
    with torch.no_grad():
        assert torch.equal(reward2.score(IDS, MASK), reward.score(IDS, MASK))
    assert not any(p.requires_grad for p in (*policy2.parameters(), *reward2.parameters()))
    PolicyView(shared, "policy").start_from(policy)  # the same layers, rank and alpha


def test_a_head_alone_is_kept_as_well(made, tokenizer):
    at, policy, _ = made
    head = ScalarView(policy.shared, seed=5)
    head.normalize(torch.tensor([1.0, 2.0, 6.0]))
    write(keep(head), at / "head", head, base="unused")
    assert not (at / "head" / "adapter_config.json").exists()
    loaded = scalar_from(fresh(at), "value", read(at / "head"))
    with torch.no_grad():
        expected = head.score(IDS, MASK)
        own = loaded.score(IDS, MASK)
        assert torch.allclose(own, expected, atol=1e-6)  # a layout of its own, as it was loaded
        whole = merged_scalar(load_causal_lm(at / "base"), read(at / "head"))
        assert torch.equal(whole.score(IDS, MASK), own)
    assert not loaded.shared.adapters


def test_merged_weights_are_w_plus_twice_b_a(made, kind):
    at, policy, _ = made
    kept = read(at / "policy")
    model = merged(load_causal_lm(at / "base"), kept)
    plain = load_causal_lm(at / "base")
    name = {
        "llama": "model.layers.0.mlp.up_proj",
        "gpt2": "transformer.h.0.mlp.c_fc",
        "neox": "gpt_neox.layers.0.mlp.dense_h_to_4h",
    }[kind]
    a, b = (kept.weights[f"{name}.lora_{part}.weight"] for part in "AB")
    delta = (2 * b @ a).T if kind == "gpt2" else 2 * b @ a
    weight = plain.get_submodule(name).weight + delta
    assert torch.allclose(model.get_submodule(name).weight, weight, atol=1e-6)
    assert torch.allclose(logits(model).log_softmax(-1), logits(policy).log_softmax(-1), atol=1e-4)
    assert type(model) is type(plain) and not hasattr(model, "peft_config")


def test_layers_say_themselves_which_way_they_lie(tokenizer, tmp_path):
    """A square layer of GPT-2 takes B A and its transpose; `fan_in_fan_out` may be left out."""
    at, policy, _ = make(tokenizer, "gpt2", tmp_path)
    config = at / "policy" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "fan_in_fan_out": False}))
    model = merged(load_causal_lm(at / "base"), read(at / "policy"))
    assert torch.allclose(logits(model).log_softmax(-1), logits(policy).log_softmax(-1), atol=1e-4)


def test_a_merged_reward_model_is_read_by_transformers_alone(made, tokenizer):
    at, _, reward = made
    whole = merged_scalar(load_causal_lm(at / "base"), read(at / "reward"))
    assert whole.normalization == reward.normalization
    with torch.no_grad():
        assert torch.allclose(whole.score(IDS, MASK), reward.score(IDS, MASK), atol=1e-4)
        whole.fold()
        whole.save(at / "whole", tokenizer)
        model = AutoModelForSequenceClassification.from_pretrained(at / "whole").eval()
        score = model(input_ids=ROW).logits[0, 0] - model.config.score_mean
        assert torch.allclose(score, reward.score(ROW, MASK[:1])[0], atol=1e-4)


def test_a_bfloat16_network_is_merged_in_float32(tokenizer, tmp_path):
    model = causal_lm(tokenizer, "llama").to(torch.bfloat16)
    model.save_pretrained(tmp_path / "base")
    shared = SharedBackbone(model)
    shared.add("policy", LORA, seed=0)
    shaken(shared, "policy")
    kept = keep(PolicyView(shared, "policy"))
    whole = merged(load_causal_lm(tmp_path / "base", dtype=torch.bfloat16), kept)
    name = "model.layers.1.mlp.up_proj"
    a, b = (kept.weights[f"{name}.lora_{part}.weight"] for part in "AB")
    weight = model.get_submodule(name).base_layer.weight.float() + 2 * b @ a
    assert torch.equal(whole.get_submodule(name).weight, weight)
    with pytest.raises(ModelError, match=r"whose weights have the sha256 .* the same model.dtype"):
        merged(load_causal_lm(tmp_path / "base", dtype=torch.float32), kept)


def test_the_live_network_is_not_merged(llama):
    at, policy, _ = llama
    with pytest.raises(ValueError, match="carries adapters is not merged"):
        merged(policy.network, read(at / "policy"))


def test_an_adapter_of_another_network_is_refused(llama, tokenizer):
    at, *_ = llama
    kept = read(at / "policy")
    others = (
        (causal_lm(tokenizer, "llama", seed=1), "whose weights have the sha256"),
        (causal_lm(tokenizer, "gpt2"), "made for a network of type llama; this one is gpt2"),
    )
    for model, sentence in others:
        shared = SharedBackbone(model)
        with pytest.raises(ModelError, match=sentence):
            policy_from(shared, "policy", kept)
        assert not shared.adapters


def test_an_adapter_of_others_is_taken_where_it_fits(llama):
    """Without our file there is no digest; names and shapes are held all the same."""
    at, policy, _ = llama
    (at / "policy" / "backbone.json").unlink()
    assert torch.equal(logits(policy_from(fresh(at), "p", read(at / "policy"))), logits(policy))


def change(folder, name, value):
    path = folder / "adapter_model.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path)


A = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"


@pytest.mark.parametrize(
    "name, value, sentence",
    [
        (A, None, "has no model.layers.0.mlp.up_proj.lora_A.weight$"),
        (A, torch.zeros(3, 16), r"lora_A.weight has the shape \(3, 16\); expected \(4, 16\)"),
        (
            A.replace("layers.0", "layers.2"),
            torch.zeros(4, 16),
            "has no layer for model.layers.2.mlp.up_proj.lora_A.weight$",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(llama, name, value, sentence):
    at, *_ = llama
    change(at / "policy", name, value)
    shared = fresh(at)
    for load in (
        lambda kept: policy_from(shared, "policy", kept),
        lambda kept: merged(load_causal_lm(at / "base"), kept),
    ):
        with pytest.raises(ModelError, match=sentence):
            load(read(at / "policy"))
    assert not shared.adapters


def test_a_head_of_two_labels_and_numbers_that_are_none_are_refused(llama):
    at, *_ = llama
    score = "base_model.model.score.weight"
    change(at / "reward", score, torch.zeros(2, 16))
    with pytest.raises(ModelError, match=r"has the shape \(2, 16\); expected \(1, 16\)"):
        scalar_from(fresh(at), "reward", read(at / "reward"))
    change(at / "reward", score, torch.full((1, 16), torch.nan))
    with pytest.raises(NonFinite, match="scalar_head.weight"):
        merged_scalar(load_causal_lm(at / "base"), read(at / "reward"))


def test_roles_are_not_mistaken(llama):
    at, *_ = llama
    with pytest.raises(ModelError, match="no policy's adapter"):
        policy_from(fresh(at), "policy", read(at / "reward"))
    for load in (
        lambda kept: scalar_from(fresh(at), "reward", kept),
        lambda kept: merged_scalar(load_causal_lm(at / "base"), kept),
    ):
        with pytest.raises(ModelError, match="no reward model's adapter"):
            load(read(at / "policy"))


@pytest.mark.parametrize(
    "changed, sentence",
    [
        ({"use_dora": True}, "use_dora=true is not supported here; expected false"),
        ({"rank_pattern": {"q_proj": 2}}, r"rank_pattern=\{\"q_proj\": 2\} is not supported"),
        ({"peft_type": "IA3"}, "peft_type is IA3; expected LORA"),
        ({"modules_to_save": ["embed_tokens"]}, "expected at most score"),
        ({"r": 0}, "r is 0; expected a number above 0"),
        ({"target_modules": None}, "target_modules is None; expected names of layers"),
        ({"target_modules": ["wq"]}, "target_modules: no linear layer of .* is called wq"),
    ],
)
def test_what_is_more_than_lora_is_refused(llama, changed, sentence):
    at, *_ = llama
    path = at / "policy" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(ModelError, match=sentence):
        policy_from(fresh(at), "policy", read(at / "policy"))


def test_what_peft_writes_itself_is_read(llama):
    """With all its keys, and the layers as a regular expression."""
    at, policy, _ = llama
    model = AutoPeftModelForCausalLM.from_pretrained(at / "policy")
    model.save_pretrained(at / "again")
    path = at / "again" / "adapter_config.json"
    config = json.loads(path.read_text())
    assert len(config) > 30
    config["target_modules"] = r"model\.layers\.\d\.(mlp|self_attn)\.[a-z]+_proj"
    path.write_text(json.dumps(config))
    assert torch.equal(logits(policy_from(fresh(at), "p", read(at / "again"))), logits(policy))


def test_folders_that_hold_no_adapter(llama):
    at, *_ = llama
    with pytest.raises(ModelError, match="holds no adapter that can be read"):
        read(at / "base")
    (at / "policy" / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"has no adapter_config.json"):
        read(at / "policy")
    (at / "reward" / "backbone.json").write_text("[")
    with pytest.raises(ModelError, match=r"backbone.json cannot be read"):
        read(at / "reward")


def test_a_stack_is_no_folder(llama):
    _, policy, _ = llama
    with pytest.raises(ValueError, match="a folder holds one"):
        keep(PolicyView(policy.shared, "reward", "policy"))


SCRIPT = """
import sys, torch
from pathlib import Path
from rlhf.models.load import load_causal_lm
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.kept import keep, write
from rlhf.models.adapters.views import PolicyView
shared = SharedBackbone(load_causal_lm(sys.argv[1]))
shared.add("policy", Lora(r=4, alpha=8), seed=0)
view = PolicyView(shared, "policy")
write(keep(view), Path(sys.argv[2]), view, base="base")
"""


@pytest.mark.slow
def test_the_bytes_of_a_folder_do_not_depend_on_the_process(llama, tmp_path):
    at, *_ = llama
    written = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        command = [sys.executable, "-c", SCRIPT, str(at / "base"), str(folder)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert written[0] == written[1]

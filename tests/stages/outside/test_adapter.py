"""Adapters that are given: what is known of them before any weights are loaded."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf.config.compose import compose, validate
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.kept import keep, write
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.load import load_causal_lm
from rlhf.rundir.errors import ModelError
from rlhf.stages.outside.adapter import adapter_faults
from rlhf.stages.outside.pieces import RewardModelFolder, SFTPolicy, policy_piece
from tests import outside

LORA, HF = "model/adapter=lora", ("model=hf", "model.path=some/model")
HOW = {"revision": None, "trust_remote_code": False}
OWN = ("adapter.r=4", "adapter.alpha=8", "adapter.targets=[q_proj,v_proj]")


@pytest.fixture
def made(tmp_path):
    """Folders of a network, a policy's adapter and a reward model's."""
    words = outside.bpe()
    base = outside.saved(tmp_path / "base", outside.llama(words), words)
    shared = SharedBackbone(load_causal_lm(base))
    for name in ("policy", "reward"):
        shared.add(name, Lora(r=4, alpha=8, targets=("q_proj", "v_proj")), seed=0)
    reward = ScalarView(shared, "reward")
    reward.set_normalization(2.0, 3.0)
    for name, view in (("policy", PolicyView(shared, "policy")), ("reward", reward)):
        write(keep(view), tmp_path / name, view, base=str(base))
    return tmp_path


def faults(piece, *words):
    cfg = validate(compose([*words]))
    return [*adapter_faults(cfg, piece, piece.base.config(None))]


def policy(made, dtype="float32"):
    return SFTPolicy(path=str(made / "policy"), dtype=dtype, **HOW)


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_fits_has_no_fault(made):
    reward = RewardModelFolder(path=str(made / "reward"), dtype="float32", **HOW)
    assert faults(policy(made), LORA, *OWN) == faults(reward, LORA) == []
    # merged, or alone: no setting of adapters says anything of it
    assert faults(policy(made)) == faults(policy(made), LORA, "stage=sft") == []
    # a reward model's adapter has its own size
    assert faults(reward, LORA, "adapter.r=2") == []


def test_the_config_says_what_the_policy_goes_on_with(made):
    """The names may be written otherwise; another rank, factor or choice of layers is refused."""
    (sentence,) = faults(policy(made), LORA)
    assert sentence == (
        f"sft.path={made / 'policy'}: the policy goes on with its adapter, which is another than"
        " the config's: set adapter.r=4 adapter.alpha=8 adapter.targets=[q_proj,v_proj] (here 16,"
        " 32, all-linear)"
    )
    assert faults(policy(made), LORA, *OWN[:2], "adapter.targets=default") == []
    (sentence,) = faults(policy(made), LORA, *OWN[1:], "adapter.r=8")
    assert "set adapter.r=4 (here 8)" in sentence


def test_the_type_of_the_weights_that_it_was_made_beside(made):
    change(made / "policy" / "backbone.json", dtype="bfloat16")
    (sentence,) = faults(policy(made), LORA, *OWN)
    assert "made beside weights in bfloat16, and model.dtype is float32: set model.d" in sentence
    assert faults(policy(made, "bfloat16"), *HF, LORA, *OWN, "model.dtype=bfloat16") == []
    # what it is merged into is loaded as it was made for it
    cfg = validate(compose([f"sft.path={made / 'policy'}"]))
    assert policy_piece(cfg, None).base.dtype == "bfloat16"


def test_one_of_another_network(made):
    words = outside.bpe()
    config = outside.gpt2(words)
    cfg = validate(compose([LORA, *OWN]))
    change(made / "policy" / "backbone.json", architecture=None)
    (sentence,) = adapter_faults(cfg, policy(made), config)
    assert "target_modules: no linear layer of GPT2LMHeadModel" in sentence
    weights = load_file(made / "policy" / "adapter_model.safetensors")
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    weights[name] = torch.zeros(4, 8)
    save_file(weights, made / "policy" / "adapter_model.safetensors")
    (sentence,) = faults(policy(made), LORA, *OWN)
    assert "q_proj.lora_A.weight has the shape (4, 8); expected (4, 16)" in sentence


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"use_dora": True}, "use_dora=true is not supported here"),
        ({"peft_type": "LOHA"}, "peft_type is LOHA; expected LORA"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"r": 0}, "r is 0; expected a number above 0"),
    ],
)
def test_what_is_more_than_lora(made, changed, fault):
    change(made / "policy" / "adapter_config.json", **changed)
    (sentence,) = faults(policy(made), LORA, *OWN)
    assert sentence.startswith("sft.path: ") and fault in sentence


def test_a_configuration_without_weights(made):
    (made / "policy" / "adapter_model.safetensors").unlink()
    (sentence,) = faults(policy(made), LORA, *OWN)
    assert "holds no adapter that can be read" in sentence
    with pytest.raises(ModelError, match="sft.path=.*adapter_model.safetensors"):
        policy(made).identity()


def test_all_that_decides_is_in_the_identity(made):
    """The scores' normalisation, and the attention of the network below."""
    reward = RewardModelFolder(path=str(made / "reward"), dtype="float32", **HOW)
    before = reward.identity()
    change(made / "reward" / "backbone.json", score_mean=0.0)
    after = reward.identity()
    assert before != after and {**after["adapter"], "score_mean": 2.0} == before["adapter"]
    eager = RewardModelFolder(path=str(made / "reward"), dtype="float32", attention="eager", **HOW)
    assert eager.base.attention == "eager" and eager.identity() != after

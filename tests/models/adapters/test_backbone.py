import pytest
import torch
from transformers import AutoModelForCausalLM, MambaConfig

from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.kept import keep
from rlhf.models.adapters.views import PolicyView
from rlhf.models.adapters.weights import weights_digest
from rlhf.models.load import load_causal_lm
from rlhf.rundir.errors import ModelError, RunFailed
from tests.models.adapters.conftest import causal_lm, logits, shaken

LORA = Lora(r=4, alpha=8)
TARGETS = {
    "llama": ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
    "gpt2": ["c_attn", "c_fc", "c_proj"],
    "neox": ["dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"],
}
DEFAULTS = {"llama": ["q_proj", "v_proj"], "gpt2": ["c_attn"], "neox": ["query_key_value"]}


def test_adapter_reference_off_and_fresh_are_the_network_to_the_bit(tokenizer, kind):
    model = causal_lm(tokenizer, kind)
    before = logits(model)
    shared = SharedBackbone(model)
    shared.add("policy", LORA, seed=0)
    assert torch.equal(logits(model), before)
    with shared.using("policy"):
        assert torch.equal(logits(model), before)
    shaken(shared, "policy")
    assert torch.equal(logits(model), before)
    with shared.using("policy"):
        assert not torch.allclose(logits(model), before, atol=1e-3)
        with shared.using():
            assert torch.equal(logits(model), before)


def test_all_linear_layers_and_defaults_by_architecture(tokenizer, kind):
    shared = SharedBackbone(causal_lm(tokenizer, kind))
    shared.add("wide", LORA, seed=0)
    shared.add("narrow", Lora(r=2, alpha=2, targets="default"), seed=0)
    assert [*shared.adapters["wide"].targets] == TARGETS[kind]
    assert [*shared.adapters["narrow"].targets] == DEFAULTS[kind]
    assert len(shared.layers_of("wide")) == 2 * {"llama": 7, "gpt2": 4, "neox": 4}[kind]


def test_a_names_end_chooses_layers(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "gpt2"))
    shared.add("policy", Lora(r=2, alpha=2, targets=("attn.c_proj",)), seed=0)
    names = [f"transformer.h.{i}.attn.c_proj" for i in range(2)]
    # c_proj would also be the MLP's
    assert [*shared.layers_of("policy")] == names == [*shared.adapters["policy"].targets]


def test_targets_that_are_not_there_are_named_with_those_that_are(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    with pytest.raises(ModelError) as refused:
        shared.add("policy", Lora(r=2, alpha=2, targets=("q_proj", "query_key_value")), seed=0)
    assert str(refused.value).endswith(
        "adapter.targets: no linear layer of LlamaForCausalLM (model_type llama) is called"
        f" query_key_value; expected all-linear, or some of {', '.join(TARGETS['llama'])}"
    )
    with pytest.raises(ModelError, match="is called lm_head"):
        shared.add("policy", Lora(r=2, alpha=2, targets=("lm_head",)), seed=0)
    assert shared.adapters == {}


def test_an_architecture_without_defaults_is_named(tokenizer):
    model = causal_lm(tokenizer, "llama")
    model.config.model_type = "phi3"
    with pytest.raises(ModelError, match="PEFT has no default for phi3; expected all-linear, or"):
        SharedBackbone(model).add("policy", Lora(r=2, alpha=2, targets="default"), seed=0)


def test_layers_that_peft_refuses_are_named():
    config = MambaConfig(vocab_size=16, hidden_size=8, num_hidden_layers=1, state_size=2)
    shared = SharedBackbone(AutoModelForCausalLM.from_config(config))
    with pytest.raises(ModelError, match=r"adapter.targets: .*'out_proj' is incompatible"):
        shared.add("policy", LORA, seed=0)


def test_a_fresh_adapter_is_a_function_of_seed_and_names(tokenizer, kind):
    """A uniform within 1/sqrt(in), B 0; nothing is drawn from the global generator."""
    torch.manual_seed(3)
    state = torch.get_rng_state()

    def made(seed, *names):
        shared = SharedBackbone(causal_lm(tokenizer, kind))
        for name in names:
            shared.add(name, LORA, seed=seed)
        return PolicyView(shared, names[-1]).state_dict()

    one, same, other = made(0, "policy"), made(0, "value", "policy"), made(1, "policy")
    assert torch.equal(torch.get_rng_state(), state)
    assert one.keys() == same.keys() and all(torch.equal(one[n], same[n]) for n in one)
    for name, weight in one.items():
        if "lora_B" in name:
            assert not weight.any()
            continue
        bound = weight.shape[1] ** -0.5
        assert bound / 2 < float(weight.abs().max()) <= bound
        assert not torch.equal(weight, other[name])


def test_the_switch_nests_and_is_restored_after_an_exception(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    for name in ("policy", "value"):
        shared.add(name, LORA, seed=0)
    with shared.using("policy"):
        with pytest.raises(KeyError), shared.using("value", "policy"):
            assert shared.active == ("value", "policy")
            raise KeyError
        assert shared.active == ("policy",)
        with shared.using():
            assert shared.active == ()
        assert shared.active == ("policy",)
    assert shared.active == ()


def test_adapters_are_added_up(tokenizer, kind):
    """On one linear layer: W x + 2 B1 A1 x + 2 B2 A2 x."""
    shared = SharedBackbone(causal_lm(tokenizer, kind))
    for name in ("sft", "policy"):
        shared.add(name, LORA, seed=0)
        shaken(shared, name)
    layer = next(iter(shared.layers_of("sft").values()))
    x = torch.randn(3, layer.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), shared.using("sft", "policy"):
        both = layer(x)
    deltas = [layer.lora_B[n].weight @ layer.lora_A[n].weight * 2 for n in ("sft", "policy")]
    expected = layer.base_layer(x) + x @ (deltas[0] + deltas[1]).T
    assert torch.allclose(both, expected, atol=1e-5)


def test_a_fresh_adapter_on_top_changes_nothing(tokenizer, kind):
    shared = SharedBackbone(causal_lm(tokenizer, kind))
    shared.add("sft", LORA, seed=0)
    shaken(shared, "sft")
    shared.add("policy", LORA, seed=0)
    with shared.using("sft"):
        alone = logits(shared.model)
    with shared.using("sft", "policy"):
        assert torch.equal(logits(shared.model), alone)


def test_wrong_names_are_refused(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    shared.add("policy", LORA, seed=0)
    with pytest.raises(ValueError, match=r"no adapter is called 'polcy': there are \['policy'\]"):
        shared.using("polcy")
    with pytest.raises(ValueError, match="counts once"):
        shared.using("policy", "policy")
    for name in ("policy", "a.b", ""):
        with pytest.raises(ValueError, match="is no name for a new adapter"):
            shared.add(name, LORA, seed=0)


def test_merged_layers_are_refused(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    shared.add("policy", LORA, seed=0)
    layer = shared.layers_of("policy")["model.layers.0.mlp.up_proj"]
    layer.merge(adapter_names=["policy"])
    with pytest.raises(RuntimeError, match="up_proj: merged"), shared.using("policy"):
        pass


def test_the_switch_and_new_adapters_leave_gradients_alone(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    shared.add("policy", LORA, seed=0)
    assert not any(p.requires_grad for p in shared.parameters())
    policy = PolicyView(shared, "policy").requires_grad_(True)
    with shared.using():
        shared.add("value", LORA, seed=0)
        assert shared.active == ()
    names = {name for name, p in shared.named_parameters() if p.requires_grad}
    assert len(names) == len([*policy.parameters()]) and all(".policy." in name for name in names)


def test_adapters_of_a_bfloat16_network_are_in_float32(tokenizer, kind):
    model = causal_lm(tokenizer, kind).to(torch.bfloat16)
    before = logits(model)
    shared = SharedBackbone(model)
    shared.add("policy", LORA, seed=0)
    policy = PolicyView(shared, "policy")
    assert {p.dtype for p in policy.parameters()} == {torch.float32}
    assert torch.equal(logits(policy), before) and before.dtype == torch.bfloat16
    policy.requires_grad_(True)
    logits(policy, grad=True).float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in policy.parameters())
    policy.to(torch.float16)
    assert policy.dtype == torch.float16
    assert {p.dtype for p in policy.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in policy.parameters()} == {torch.float32}


def test_the_digest_is_the_networks_own(tokenizer, kind, tmp_path):
    """The same with adapters as without, after training of an adapter, and of the files."""
    model = causal_lm(tokenizer, kind)
    digest = weights_digest(model)
    model.save_pretrained(tmp_path)
    shared = SharedBackbone(model)
    shared.add("policy", LORA, seed=0)
    shaken(shared, "policy")
    assert shared.digest() == digest == weights_digest(load_causal_lm(tmp_path))
    assert weights_digest(causal_lm(tokenizer, kind, seed=1)) != digest
    with torch.no_grad():
        next(shared.model.parameters())[0, 0] += 1e-6
    assert shared.digest() != digest


def test_a_network_that_moved_is_noticed(tokenizer):
    """What was trained beside it is not kept; read once, until then."""
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    shared.add("policy", LORA, seed=0)
    view = PolicyView(shared, "policy")
    assert keep(view).weights_sha256 == shared.origin == shared.unmoved()
    with torch.no_grad():
        next(shared.model.parameters())[0, 0] += 1e-6
    assert shared.origin != shared.digest()
    with pytest.raises(RunFailed, match="frozen network has other weights than before: their sha2"):
        keep(view)


def test_the_digest_covers_types_shapes_and_names():
    zeros = [torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Bilinear(1, 2, 2)]
    for module in zeros:
        for parameter in module.parameters():
            parameter.data.zero_()
    one, same, shape = map(weights_digest, zeros)
    assert one == same != shape
    assert weights_digest(zeros[0].half()) != one
    assert weights_digest(torch.nn.Sequential(zeros[1])) != one

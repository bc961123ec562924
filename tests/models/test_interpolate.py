import pytest
import torch

from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.views import PolicyView
from rlhf.models.interpolate import Interpolated
from rlhf.models.load import TinyModel
from rlhf.randomness import generator
from rlhf.rundir.errors import ModelError
from tests.conftest import tiny

IDS = torch.tensor([[3, 4, 5, 6]])


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


def test_weights_by_hand(tokenizer):
    """A quarter of the way: 0.75 start + 0.25 policy in each weight; the ends to the bit."""
    start, policy = tiny(tokenizer, seed=0), tiny(tokenizer, seed=1)
    ends = logits(start), logits(policy)
    before = {name: p.detach().clone() for name, p in policy.named_parameters()}
    line = Interpolated.of(start, policy)
    quarter = dict(line.at(0.25).named_parameters())
    for name, weight in start.named_parameters():
        assert torch.allclose(quarter[name], 0.75 * weight + 0.25 * before[name], atol=1e-6)
    assert not torch.allclose(logits(line.model), ends[1], atol=1e-2)
    beyond = dict(line.at(1.5).named_parameters())
    for name, weight in start.named_parameters():
        assert torch.allclose(beyond[name], 1.5 * before[name] - 0.5 * weight, atol=1e-5)
    assert torch.equal(logits(line.at(0.0)), ends[0]) and torch.equal(logits(start), ends[0])
    assert torch.equal(logits(line.at(1.0)), ends[1])


def test_a_tied_head_stays_tied(tokenizer):
    start, policy = tiny(tokenizer, "gpt2", 0), tiny(tokenizer, "gpt2", 1)
    expected = torch.lerp(start.lm_head.weight, policy.lm_head.weight.clone(), 0.5)
    model = Interpolated.of(start, policy).at(0.5)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, expected)


def test_weights_of_16_bits_are_computed_in_32(tokenizer):
    start, policy = (tiny(tokenizer, seed=seed).bfloat16() for seed in (0, 1))
    name, before = next((n, p.detach().clone()) for n, p in policy.named_parameters())
    model = Interpolated.of(start, policy).at(0.3)
    there, begun = dict(model.named_parameters())[name], dict(start.named_parameters())[name]
    assert there.dtype == torch.bfloat16
    assert torch.equal(there, torch.lerp(begun.float(), before.float(), 0.3).bfloat16())


def test_other_architectures_are_refused(tokenizer):
    wide = TinyModel(architecture="llama", hidden_size=32, layers=2, heads=2, seed=0)
    with pytest.raises(ModelError, match="differs in name or shape"):
        Interpolated.of(tiny(tokenizer), wide.causal_lm(tokenizer))
    with pytest.raises(ModelError, match="merge the adapter"):
        Interpolated.of(tiny(tokenizer), PolicyView(SharedBackbone(tiny(tokenizer))))


def adapter(shared, name, seed):
    """One whose B is not 0."""
    shared.add(name, Lora(r=2, alpha=6.0), seed=seed)
    view = PolicyView(shared, name)
    with torch.no_grad():
        for at, parameter in view.named_parameters():
            if "lora_B" in at:
                parameter.normal_(generator=generator(seed, at))
    return view


def delta(view, at):
    """s B A of a view's layer."""
    a, b = (view.state_dict()[f"{at}.lora_{part}.weight"] for part in "AB")
    return 3.0 * b @ a


@pytest.mark.parametrize("begins", ["network", "adapter"])
def test_of_adapters_what_moves_is_weighed(tokenizer, begins):
    """The logits of the network whose weights are W + (1 - lambda) s B0 A0 + lambda s B1 A1; the
    ends to the bit, and both views as they were."""
    shared = SharedBackbone(tiny(tokenizer))
    start = PolicyView(shared) if begins == "network" else adapter(shared, "sft", 1)
    policy = adapter(shared, "policy", 2)
    ends = logits(start), logits(policy)
    line = Interpolated.of(start, policy)
    assert torch.equal(logits(line.at(0.0)), ends[0])
    assert torch.equal(logits(line.at(1.0)), ends[1])
    whole = tiny(tokenizer)
    with torch.no_grad():
        for at in shared.layers_of("policy"):
            weight = whole.get_submodule(at).weight
            weight += 0.3 * delta(policy, at)
            weight += 0.7 * delta(start, at) if begins == "adapter" else 0.0
    assert torch.allclose(logits(line.at(0.3)), logits(whole), atol=1e-4)
    assert torch.equal(logits(start), ends[0]) and torch.equal(logits(policy), ends[1])


def test_adapters_of_two_copies_of_a_network(tokenizer):
    """Not shared: the start's numbers are copied beside the policy's network."""
    start = adapter(SharedBackbone(tiny(tokenizer)), "sft", 1)
    policy = adapter(SharedBackbone(tiny(tokenizer)), "policy", 2)
    ends = logits(start), logits(policy)
    line = Interpolated.of(start, policy)
    assert torch.equal(logits(line.at(0.0)), ends[0])
    assert torch.equal(logits(line.at(1.0)), ends[1])
    with pytest.raises(ModelError, match="different networks"):
        Interpolated.of(PolicyView(SharedBackbone(tiny(tokenizer, seed=3))), policy)

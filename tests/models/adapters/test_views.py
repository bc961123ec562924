import copy
import io
from functools import partial

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from rlhf.at_once import AtOnce
from rlhf.functional.logprobs import token_logp
from rlhf.kl.reference import Synced
from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.load import scalar_model_from
from rlhf.models.policy import PolicyReader, policy_of, response_logits
from rlhf.types import PromptBatch, Rollout
from tests.models.adapters.conftest import IDS, MASK, causal_lm, logits, shaken

LORA = Lora(r=4, alpha=8)
FIRST = {
    "llama": "model.layers.0.mlp.down_proj.lora_A.weight",
    "gpt2": "transformer.h.0.attn.c_attn.lora_A.weight",
    "neox": "gpt_neox.layers.0.attention.dense.lora_A.weight",
}


def roles(tokenizer, kind="llama", names=("policy", "value", "reward")):
    """A backbone, a policy, a value and a reward view, all moved away from where they began."""
    shared = SharedBackbone(policy_of(causal_lm(tokenizer, kind), tokenizer))
    for name in names:
        shared.add(name, LORA, seed=0)
        shaken(shared, name)
    return (
        shared,
        PolicyView(shared, "policy"),
        ScalarView(shared, "value", seed=1),
        ScalarView(shared, "reward", seed=2),
    )


def rollout():
    prompt = PromptBatch(tokens=IDS[:, :2], mask=MASK[:, :2], prompts=("a", "b"))
    tokens = IDS[:, 2:]
    counted = torch.ones_like(tokens, dtype=torch.bool)
    nothing = torch.zeros(tokens.shape)
    return Rollout(
        prompt=prompt, tokens=tokens, mask=counted, logp=nothing, ended=counted[:, 0].logical_not()
    )


def bytes_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def losses(policy, value):
    """One of each, as PPO has them."""
    logp = token_logp(response_logits(policy, IDS, MASK, 3), IDS[:, 2:])
    return logp.square().mean(), value.values(IDS, MASK, 3).square().mean()


def gradients(*modules):
    taken = [p.grad for module in modules for p in module.parameters()]
    for module in modules:
        module.zero_grad()
    return taken


def test_a_view_registers_what_is_its_own_under_names_without_the_adapters(tokenizer, kind):
    shared, policy, value, _ = roles(tokenizer, kind)
    names = [name for name, _ in policy.named_parameters()]
    assert sorted(names)[0] == FIRST[kind]
    assert len(names) == 2 * len(shared.layers_of("policy"))
    assert [n for n, _ in value.named_parameters()] == [*names, "scalar_head.weight"]
    assert [*policy.state_dict()] == names and not [*policy.buffers()]
    inner = {id(p) for p in shared.parameters()}
    assert all(id(p) in inner for p in policy.parameters())
    assert not {*map(id, policy.parameters())} & {*map(id, value.parameters())}
    assert [*PolicyView(shared).parameters()] == []


def test_a_policy_view_is_the_network_under_its_adapter(tokenizer, kind):
    shared, policy, *_ = roles(tokenizer, kind)
    with shared.using("policy"):
        expected = logits(shared.model)
    with shared.using("value"):
        assert torch.equal(logits(policy), expected)
        assert shared.active == ("value",)
    plain = policy_of(causal_lm(tokenizer, kind), tokenizer)
    assert torch.equal(logits(PolicyView(shared)), logits(plain))
    assert policy.config is shared.model.config and policy.dtype == torch.float32
    assert policy.device == torch.device("cpu")
    assert policy.generation_config is shared.model.generation_config
    assert policy.get_output_embeddings() is shared.model.get_output_embeddings()
    assert policy.get_input_embeddings() is shared.model.get_input_embeddings()


def test_adapter_reference_kl_at_the_start_is_zero_to_the_bit(tokenizer, kind):
    shared = SharedBackbone(policy_of(causal_lm(tokenizer, kind), tokenizer))
    shared.add("policy", LORA, seed=0)
    policy = PolicyView(shared, "policy").requires_grad_(True)
    readers = [
        PolicyReader(model=m, temperature=0.7, at_once=AtOnce(rows=1))
        for m in (policy, PolicyView(shared))
    ]
    view = readers[0].view(readers[1], rollout())
    assert torch.equal(view.logp, view.ref_logp) and not view.exact_kl.any()


def test_a_cache_grows_under_the_views_adapter(tokenizer, kind):
    _, policy, *_ = roles(tokenizer, kind)
    with torch.no_grad():
        whole = policy(input_ids=IDS[:1], use_cache=False).logits
        first = policy(input_ids=IDS[:1, :4], use_cache=True)
        last = policy(
            input_ids=IDS[:1, 4:], past_key_values=first.past_key_values, use_cache=True
        ).logits
    assert torch.allclose(last[:, 0], whole[:, 4], atol=1e-4)


def test_a_scalar_view_reads_as_the_network_of_its_own_does(tokenizer, kind):
    """Without an adapter and with the same head: the scores of a `ScalarModel`, to the bit."""
    shared = SharedBackbone(causal_lm(tokenizer, kind))
    view, own = ScalarView(shared, seed=7), scalar_model_from(shared.model, seed=7)
    assert [name for name, _ in view.named_parameters()] == ["scalar_head.weight"]
    assert torch.equal(view.head.weight, own.head.weight)
    for model in (view, own):
        model.normalize(torch.tensor([1.0, 2.0, 6.0]))
    with torch.no_grad():
        assert torch.equal(view.score(IDS, MASK), own.score(IDS, MASK))
        assert torch.equal(
            view.predict(rollout(), AtOnce(rows=1)), own.predict(rollout(), AtOnce(rows=1))
        )
        assert torch.equal(view.last_states(IDS, MASK), own.last_states(IDS, MASK))
    assert view.normalization == own.normalization
    assert view.network is shared.model and own.network is own.model


def test_nothing_is_drawn_from_the_global_generator(tokenizer):
    shared = SharedBackbone(causal_lm(tokenizer, "llama"))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    ScalarView(shared, seed=7)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_bfloat16_network_has_its_scalars_read_in_float32(tokenizer, kind):
    shared = SharedBackbone(causal_lm(tokenizer, kind).to(torch.bfloat16))
    shared.add("value", LORA, seed=0)
    shaken(shared, "value")
    value = ScalarView(shared, "value", seed=1)
    with torch.no_grad():
        states = value.states(IDS, MASK)
        assert states.dtype == torch.bfloat16
        assert torch.equal(value(IDS, MASK), value.head(states.float()).squeeze(-1))
    value.to(torch.bfloat16)
    assert {p.dtype for p in value.parameters()} == {torch.float32}


def test_both_losses_have_one_backward(tokenizer, kind):
    """The gradients are those of a backward pass each, to the bit."""
    _, policy, value, _ = roles(tokenizer, kind)
    for view in (policy, value):
        view.requires_grad_(True)
    sum(losses(policy, value)).backward()
    together = gradients(policy, value)
    for loss in losses(policy, value):
        loss.backward()
    alone = gradients(policy, value)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert all(g.abs().max() > 0 for g in together)


def test_in_mixed_precision_both_hold_as_well(tokenizer, kind):
    shared = SharedBackbone(policy_of(causal_lm(tokenizer, kind), tokenizer))
    shared.add("policy", LORA, seed=0)
    shared.add("value", LORA, seed=0)
    policy = PolicyView(shared, "policy").requires_grad_(True)
    value = ScalarView(shared, "value").requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(logits(policy), logits(PolicyView(shared)))
    for name in ("policy", "value"):
        shaken(shared, name)
    with torch.autocast("cpu", torch.bfloat16):
        total = sum(losses(policy, value))
    total.backward()
    together = gradients(policy, value)
    for index in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            loss = losses(policy, value)[index]
        loss.backward()
    alone = gradients(policy, value)
    assert all(torch.equal(a, b) for a, b in zip(together, alone, strict=True))
    assert all(g.abs().max() > 0 and g.dtype == torch.float32 for g in together)


def test_checkpointing_computes_again_under_the_adapter_of_the_forward_pass(tokenizer, kind):
    shared, policy, value, _ = roles(tokenizer, kind)
    for view in (policy, value):
        view.requires_grad_(True)
    sum(losses(policy, value)).backward()
    plain = gradients(policy, value)
    context_fn = value.checkpoint_context_fn
    compute = partial(checkpoint, use_reentrant=False, context_fn=context_fn)
    layers = [m for m in shared.model.modules() if isinstance(m, GradientCheckpointingLayer)]
    calls = [0]
    for layer in layers:
        layer.gradient_checkpointing = layer.training = True
        layer._gradient_checkpointing_func = compute
        inner = next(m for m in layer.modules() if hasattr(m, "lora_A"))
        inner.register_forward_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    with shared.using("reward"):  # whatever is active then
        total = sum(losses(policy, value))
        assert calls == [4]
        total.backward()
        assert shared.active == ("reward",)
    assert calls == [8]  # two layers, two passes, twice
    assert all(torch.equal(a, b) for a, b in zip(gradients(policy, value), plain, strict=True))


def test_adapter_reference_training_moves_no_other_role(tokenizer, kind):
    """Policy and value are trained; reference, reward model and network keep their bytes."""
    shared, policy, value, reward = roles(tokenizer, kind)
    reference = PolicyView(shared)
    trained = [p for view in (policy, value) for p in view.requires_grad_(True).parameters()]
    digest, read, kept = shared.digest(), logits(reference), bytes_of(reward)
    before = bytes_of(policy), bytes_of(value)
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        sum(losses(policy, value)).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert shared.digest() == digest
    assert torch.equal(logits(reference), read)
    assert same(bytes_of(reward), kept)
    for view, old in zip((policy, value), before, strict=True):
        assert all(not torch.equal(old[name], new) for name, new in bytes_of(view).items())


def test_a_checkpoint_is_small_and_loads_strictly_elsewhere(tokenizer, kind):
    shared, policy, value, _ = roles(tokenizer, kind)
    value.normalize(torch.tensor([1.0, 2.0, 6.0]))
    file = io.BytesIO()
    torch.save({"policy": policy.state_dict(), "value": value.state_dict()}, file)
    numbers = sum(p.numel() for view in (policy, value) for p in view.parameters())
    assert file.tell() < 4 * numbers + 2**16
    file.seek(0)
    state = torch.load(file, weights_only=True)
    shared2 = SharedBackbone(policy_of(causal_lm(tokenizer, kind), tokenizer))
    for name in ("policy", "value"):
        shared2.add(name, LORA, seed=5)
    policy2, value2 = PolicyView(shared2, "policy"), ScalarView(shared2, "value", seed=6)
    policy2.load_state_dict(state["policy"])
    value2.load_state_dict(state["value"])
    assert torch.equal(logits(policy2), logits(policy))
    value2.set_normalization(*value.normalization)
    with torch.no_grad():
        assert torch.equal(value2(IDS, MASK), value(IDS, MASK))
    with pytest.raises(RuntimeError, match=r"Missing key.*scalar_head.weight"):
        value2.load_state_dict(state["policy"])


def test_a_copy_begins_as_another_role_and_is_its_own(tokenizer):
    shared, _, value, reward = roles(tokenizer)
    reward.normalize(torch.tensor([1.0, 2.0, 6.0]))
    value.start_from(reward)
    with torch.no_grad():
        assert torch.equal(value(IDS, MASK), reward(IDS, MASK))
        kept = bytes_of(reward)
        for parameter in value.parameters():
            parameter.add_(1.0)
        value.set_normalization(0.0, 1.0)
    assert same(bytes_of(reward), kept) and reward.normalization[0] == pytest.approx(3.0)
    shared.add("wide", Lora(r=4, alpha=4), seed=0)
    with pytest.raises(ValueError, match="alpha=8"):
        PolicyView(shared, "wide").start_from(PolicyView(shared, "policy"))


def test_a_synced_reference_is_an_adapter_that_is_copied(tokenizer):
    shared, policy, *_ = roles(tokenizer)
    shared.add("reference", LORA, seed=0)
    reference = PolicyView(shared, "reference")
    synced = Synced(every=2)
    before = logits(reference)
    synced.after_iteration(reference, policy, 1)
    assert torch.equal(logits(reference), before)
    synced.after_iteration(reference, policy, 2)
    assert torch.equal(logits(reference), logits(policy))
    assert not torch.equal(before, logits(policy))
    with pytest.raises(ValueError, match="different models"):
        synced.after_iteration(PolicyView(shared), policy, 2)


def test_a_stack_owns_its_last_adapter(tokenizer):
    shared, *_ = roles(tokenizer, names=("sft", "policy", "value", "reward"))
    stacked = PolicyView(shared, "sft", "policy")
    assert same(bytes_of(stacked), bytes_of(PolicyView(shared, "policy")))
    with shared.using("sft", "policy"):
        assert torch.equal(logits(shared.model), logits(stacked))


def test_moves_and_modes_reach_the_network(tokenizer):
    shared, policy, value, _ = roles(tokenizer)
    module = torch.nn.ModuleDict({"policy": policy, "value": value})
    module.train()
    assert shared.model.training
    module.eval()
    assert not any(m.training for m in (*shared.modules(), *module.modules()))
    module.to(torch.float64)
    assert policy.dtype == torch.float64
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    module.to(torch.float32).to("meta")
    assert {p.device.type for p in shared.parameters()} == {"meta"}
    inner = {id(p) for p in shared.parameters()}
    assert all(id(p) in inner for p in policy.parameters())
    assert value.head.weight.device.type == "meta" == policy.device.type


def test_a_deep_copy_shares_within_itself_alone(tokenizer):
    _, policy, *_ = roles(tokenizer)
    other = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
    assert not torch.equal(logits(policy), logits(other))
    inner = {id(p) for p in other.shared.parameters()}
    assert all(id(p) in inner for p in other.parameters())


def test_an_adapter_beside_a_reward_models_network(tokenizer, kind):
    """A value model on the network of a reward model that has one of its own: its head is none of
    the layers."""
    own = scalar_model_from(causal_lm(tokenizer, kind), seed=7)
    with torch.no_grad():
        expected = own.score(IDS, MASK)
    shared = SharedBackbone(own.network)
    shared.add("value", LORA, seed=0)
    assert "score" not in [*shared.adapters["value"].targets]
    value = ScalarView(shared, "value")
    value.head.load_state_dict(own.head.state_dict())
    with torch.no_grad():
        assert torch.equal(value.score(IDS, MASK), expected)

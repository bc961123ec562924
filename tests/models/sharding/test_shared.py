"""Adapters beside a network that lies in parts on two ranks."""

from dataclasses import replace

import pytest
import torch

from rlhf.models.adapters.backbone import Lora, SharedBackbone
from rlhf.models.adapters.scalar import ScalarView
from rlhf.models.adapters.views import PolicyView
from rlhf.models.sharding.agreed import is_cut
from rlhf.models.sharding.whole import part
from rlhf.modules.algorithms.ppo import PPOModule
from rlhf.modules.parts import CollectedMinibatches
from rlhf.ranks.group import Ranks
from tests.conftest import tiny
from tests.modules.algorithms.test_ppo import make as make_ppo
from tests.ranks.test_training import same, supervised
from tests.ranks.training import alike_in_16_bits, as_rank, train
from tests.two_ranks import on_two_ranks

LORA = Lora(r=4, alpha=8)


def beside(tokenizer, dtype, **settings):
    """PPO whose policy and value model are views of one frozen network, as is the reference."""
    made = make_ppo(tokenizer, iterations=2, **settings)
    shared = SharedBackbone(tiny(tokenizer).to(dtype))
    for seed, name in enumerate(("policy", "value")):
        shared.add(name, LORA, seed=seed)
    policy, value = PolicyView(shared, "policy"), ScalarView(shared, "value")
    for view in (policy, value):
        view.requires_grad_(True)
    reader = replace(made.parts.start, model=PolicyView(shared))
    engine = replace(made.parts.engine, model=policy)
    views = {"policy": policy, "value_model": value, "engine": engine}
    parts = replace(made.parts, **views, reference=reader, start=reader)
    names = ("kl", "trust_region", "advantage", "settings")
    return PPOModule(parts=parts, **{name: getattr(made, name) for name in names}), shared


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [
        (torch.float32, "32-true"),
        (torch.bfloat16, "32-true"),
        (torch.float32, "bf16-mixed"),
        (torch.bfloat16, "bf16-mixed"),
    ],
)
def test_adapters_learn_beside_parts_what_they_do_beside_the_whole(tokenizer, dtype, precision):
    """The KL of the first rollout is 0 to the bit. The network's weights are the same before,
    between and after, and each rank holds a half of its layers."""

    def rank(number):
        module, shared = beside(tokenizer, dtype, micro_batch_size=4)
        before = shared.digest()
        layers = shared.model.model.layers
        whole = sum(p.numel() for name, p in layers.named_parameters() if "lora_" not in name)
        batches, ranks = CollectedMinibatches(module), Ranks(rank=number, size=2)
        run = train(module, batches, ranks, sharded=True, precision=precision)
        held = sum(part(p).numel() for name, p in layers.named_parameters() if "lora_" not in name)
        assert is_cut(shared.model) and shared.digest() == before and abs(2 * held - whole) <= 2
        module.join()
        assert not is_cut(shared.model) and (number or shared.digest() == before)
        return run

    module, _ = beside(tokenizer, dtype, micro_batch_size=4)
    alone = train(module, CollectedMinibatches(module), precision=precision)
    first, second = on_two_ranks(rank)
    assert torch.equal(first["weights"], second["weights"])
    exact = dtype == torch.float32 and precision == "32-true"
    if exact:
        torch.testing.assert_close(first["weights"], alone["weights"], atol=1e-5, rtol=1e-5)
    else:
        alike_in_16_bits(first["weights"], alone["weights"])
    row = first["rows"][0]
    if exact:
        assert abs(row["kl/sequence_nats"]) < 1e-4  # the sampler's numbers: 0 to rounding
        for one, other in zip(first["rows"], alone["rows"], strict=True):
            assert one == pytest.approx(other, abs=1e-3, rel=1e-3, nan_ok=True)
    else:
        assert row["kl/sequence_nats"] == row["kl/sequence_nats_exact"] == 0.0


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stages_before_learn_beside_parts_too(tokenizer, stage, dtype, precision):
    """Evaluations are read without autocast: what reads the states has their type."""

    def make():
        shared = SharedBackbone(tiny(tokenizer).to(dtype))
        shared.add("own", LORA, seed=0)
        view = (PolicyView if stage == "sft" else ScalarView)(shared, "own")
        return supervised(stage, tokenizer, model=view.requires_grad_(True))

    alone = train(*make(), clip=0.7, precision=precision)
    first, second = on_two_ranks(as_rank, make, {"sharded": True, "precision": precision})
    exact = dtype == torch.float32 and precision == "32-true"
    same(alone, (first, second), 1e-5 if exact else 2e-2)

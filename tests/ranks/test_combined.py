"""Two ranks, and what else changes a step: adapters, layers that are computed again, two
precisions, responses that are left out."""

from dataclasses import replace
from functools import partial
from math import nan

import pytest
import torch

from rlhf.modules.parts import CollectedMinibatches
from tests.models.sharding.test_shared import beside
from tests.ranks.test_training import PPO, ppo, same, supervised
from tests.ranks.training import alike_in_16_bits, as_rank, train
from tests.two_ranks import on_two_ranks

MIXED, TRUE = "bf16-mixed", "bf16-true"


def alone_and_two(make, sharded=False, precision="32-true"):
    how = {"sharded": sharded, "precision": precision}
    return train(*make(), clip=0.7, precision=precision), on_two_ranks(as_rank, make, how)


def recomputing(made):
    made[0].recomputes = True
    return made


def views(tokenizer, dtype, recomputes, **settings):
    module, _ = beside(tokenizer, dtype, micro_batch_size=4, **settings)
    module.recomputes = recomputes
    return module, CollectedMinibatches(module)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("precision", ["32-true", MIXED])
@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_layers_are_computed_again_on_ranks_too(tokenizer, stage, precision, sharded):
    alone, shared = alone_and_two(
        lambda: recomputing(supervised(stage, tokenizer)), sharded, precision
    )
    same(alone, shared, 2e-2 if precision == MIXED else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
def test_layers_are_computed_again_in_ppo(tokenizer, sharded):
    """With a policy that is not trained at first: its parameters have no gradient."""
    make = partial(ppo, tokenizer, critic_warmup=1, micro_batch_size=2)
    same(*alone_and_two(lambda: recomputing(make()), sharded), 2e-4)


@pytest.mark.parametrize(
    ("sharded", "recomputes", "warmup"),
    [
        (False, True, 1),
        (True, True, 1),
        pytest.param(False, False, 1, marks=pytest.mark.slow),
        pytest.param(False, True, 0, marks=pytest.mark.slow),
        pytest.param(True, True, 0, marks=pytest.mark.slow),
    ],
)
def test_adapters_beside_one_network(tokenizer, sharded, recomputes, warmup):
    make = partial(views, tokenizer, torch.float32, recomputes, critic_warmup=warmup)
    same(*alone_and_two(make, sharded), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("recomputes", [False, True])
def test_adapters_in_two_precisions(tokenizer, dtype, recomputes, sharded):
    make = partial(views, tokenizer, dtype, recomputes)
    alone, (first, second) = alone_and_two(make, sharded, MIXED)
    assert torch.equal(first["weights"], second["weights"])
    alike_in_16_bits(first["weights"], alone["weights"])


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
@pytest.mark.parametrize("limits", [{}, {"rows": 1}])
def test_masters_are_stepped_alike_on_all_ranks(tokenizer, stage, limits):
    """Gradients of bfloat16 weights are added up over the ranks, and then in float32."""
    make = partial(supervised, stage, tokenizer, **limits)
    same(*alone_and_two(make, precision=TRUE), 2e-2)


@pytest.mark.slow
@pytest.mark.parametrize("case", PPO)
def test_masters_are_stepped_alike_in_ppo(tokenizer, case):
    alone, (first, second) = alone_and_two(partial(ppo, tokenizer, **PPO[case]), precision=TRUE)
    assert torch.equal(first["weights"], second["weights"])
    assert str(first["rows"]) == str(second["rows"])
    assert first["steps"] == alone["steps"] and first["weights"].dtype == torch.float32
    alike_in_16_bits(first["weights"], alone["weights"])


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
def test_parts_are_stepped_in_one_call_as_on_a_gpu(tokenizer, stage):
    """There `foreach` is what optimizers take by themselves."""

    def make():
        module, batches = supervised(stage, tokenizer)
        module.make_optimizer = partial(torch.optim.AdamW, lr=1e-3, foreach=True)
        return module, batches

    same(*alone_and_two(make, sharded=True), 1e-5)


def faulty(prompts, responses):
    """No number for some of the responses to `c`, whose rows are 1, 5, 9, ...: rank 1's."""
    pairs = zip(prompts, responses, strict=True)
    return [
        nan if prompt == "c" and len(text) % 3 == 0 else -len(text) / 4 for prompt, text in pairs
    ]


@pytest.mark.parametrize("sharded", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("micro", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_responses_of_one_rank_are_left_out_on_all(tokenizer, sharded, micro):
    """With micro-batches of one row some ranks have none in the last one."""

    def make():
        module, batches = ppo(tokenizer, on_nonfinite="drop", micro_batch_size=micro, iterations=3)
        module.parts = replace(module.parts, judges=replace(module.parts.judges, gold=faulty))
        return module, batches

    alone, shared = alone_and_two(make, sharded)
    same(alone, shared, 2e-4)
    assert [row["rollout/nonfinite"] for row in alone["rows"]] == [4, 1, 0]
    assert alone["rows"][-1]["episodes"] == 48

"""Two ranks that share every batch, against one process on the whole: numbers, weights and what a
step is made of."""

import copy
from functools import partial

import pytest
import torch

from rlhf.at_once import AtOnce
from rlhf.data.collate import (
    collate_demonstrations,
    collate_preferences,
    encode_demonstrations,
    encode_preferences,
)
from rlhf.data.lengths import Limit
from rlhf.data.loaders import MicroBatches, ShuffledBatches, packs
from rlhf.kl.controller import Adaptive, Fixed
from rlhf.kl.estimator import K1, K3, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Loss, Reward
from rlhf.kl.reference import EMA, SFT
from rlhf.models.load import scalar_model_from
from rlhf.modules.advantage import GAE
from rlhf.modules.parts import CollectedMinibatches
from rlhf.modules.supervised.reward_model import RewardModule
from rlhf.modules.supervised.sft import SFTModule
from rlhf.modules.trust_region import EarlyStop
from rlhf.stages.rows import tokens_of
from tests.conftest import tiny
from tests.modules.algorithms.test_ppo import make as make_ppo
from tests.modules.supervised.test_sft import UNEVEN
from tests.ranks.training import alone_and_shared
from tests.turns import preference, rendering

PAIRS = [
    preference("a b", " c", " d e"),
    preference("a", " b c d e f", " g", margin=2),
    preference("a b c", " d", " e f g h"),
    preference("c", " a", " b a", margin=1),
    preference("d e", " f", " a b c"),
]


def supervised(stage, tokenizer, model=None, **limits):
    """Five rows in steps of 4 and 1: in the last one a rank has no row."""
    if stage == "sft":
        encoded = encode_demonstrations(rendering(tokenizer), UNEVEN, Limit(most=20))
        collate = partial(collate_demonstrations, fill=0, train_on_prompt=False)
        of = partial(SFTModule, model or tiny(tokenizer))
    else:
        encoded = encode_preferences(rendering(tokenizer), PAIRS, Limit(most=20))
        collate = partial(collate_preferences, fill=0)
        model = model or scalar_model_from(tiny(tokenizer), seed=0)
        of = partial(RewardModule, model, centering=0.1)
    at_once = AtOnce(**limits)
    module = of(
        make_optimizer=partial(torch.optim.SGD, lr=0.05),
        heldout=lambda: packs(encoded, collate, at_once=AtOnce(rows=2), tokens=tokens_of),
        epochs=2,
        lr_schedule="linear",
        steps=2,
    )
    steps = ShuffledBatches(
        encoded, 4, collate, seed=0, stage=stage, epoch=lambda: module.iteration
    )
    return module, MicroBatches(
        steps, at_once, tokens=tokens_of, began=module.accumulate, ranks=lambda: module.ranks
    )


def same(alone, shared, tolerance):
    first, second = shared
    assert torch.equal(first["weights"], second["weights"])
    assert str(first["rows"]) == str(second["rows"])  # all ranks have the numbers of the whole
    assert first["steps"] == alone["steps"]
    assert len(first["rows"]) == len(alone["rows"])
    # five pairs in ten bins: in 16 bits one at a bin's edge may fall on either side of it
    leaps = {"val/calibration_error"} if tolerance > 1e-3 else set()
    for one, other in zip(alone["rows"], first["rows"], strict=True):
        assert one.keys() == other.keys()
        one, other = ({n: row[n] for n in row.keys() - leaps} for row in (one, other))
        assert other == pytest.approx(one, abs=tolerance, rel=tolerance, nan_ok=True)
    assert torch.allclose(alone["weights"], first["weights"], atol=tolerance)


@pytest.mark.parametrize("stage", ["sft", "reward_model"])
@pytest.mark.parametrize("limits", [{}, {"rows": 1}, {"tokens": 16}])
def test_ddp_equals_one_in_supervised_stages(tokenizer, stage, limits):
    alone, shared = alone_and_shared(partial(supervised, stage, tokenizer, **limits))
    same(alone, shared, 1e-5)


PPO = {
    "plain": {},
    "micro-batches": {"micro_batch_size": 2},
    "whole": {
        "micro_batch_size": 2,
        "inner_epochs": 4,
        "critic_warmup": 1,
        "iterations": 4,
        "trust_region": EarlyStop(target=0.02),
        "advantage": GAE(gamma=1.0, lam=0.95, whiten=True, whiten_rewards=True),
        "kl": KLPenalty(Adaptive(0.1, target=1.0, horizon=100), K1(), Reward(), SFT()),
    },
    "in the loss, to a reference that moves": {
        "kl": KLPenalty(Fixed(0.1), K3(), Loss(), EMA(decay=0.5)),
        "start_seed": 1,
    },
    "by tokens, with the exact KL in the loss": {
        "micro_batch_tokens": 40,
        "kl": KLPenalty(Fixed(0.1), Exact(), Both(), SFT()),
        "start_seed": 1,
    },
}


def ppo(tokenizer, start_seed=None, **settings):
    start = None if start_seed is None else tiny(tokenizer, seed=start_seed).requires_grad_(False)
    module = make_ppo(tokenizer, start=start, **copy.deepcopy(settings))  # controllers move
    return module, CollectedMinibatches(module)


@pytest.mark.parametrize("case", PPO)
def test_ddp_equals_one_in_ppo(tokenizer, case):
    """The same draws, KL, coefficient, early stops and weights."""
    alone, shared = alone_and_shared(partial(ppo, tokenizer, **PPO[case]))
    same(alone, shared, 2e-4)
    if case == "whole":
        assert alone["steps"] < 4 * 4 * 2  # some steps were stopped early
        coefs = [row["kl/coef"] for row in alone["rows"]]
        assert len(set(coefs)) > 1

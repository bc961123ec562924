"""A whole run of PPO in each layout that networks can be read in."""

import math
from functools import partial

import pytest
import torch

from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K1, Exact
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Both, Reward
from rlhf.kl.reference import EMA, SFT
from rlhf.models.packing.choice import PROBED, layout_of, network_of
from rlhf.models.packing.layouts import Layout
from rlhf.modules.trust_region import EarlyStop, Penalty
from rlhf.rollout.engines.base import Sampling
from rlhf.rollout.score import GoldScorer
from tests.modules.algorithms.test_ppo import make, train


class Failing(GoldScorer):
    """Every third response has no number."""

    def score(self, responses):
        score = super().score(responses).clone()
        score[::3] = math.nan
        return score


@pytest.mark.parametrize(
    "settings",
    [
        {"reference_seed": 1, "entropy_coef": 0.01, "critic_warmup": 1},
        {"reference_seed": 1, "minibatch_size": 5, "micro_batch_tokens": 12},
        {"reference_seed": 1, "kl": partial(KLPenalty, Fixed(0.1), Exact(), Both(), SFT())},
        {"reference_seed": 1, "trust_region": partial(Penalty, coef=1.0, target=0.01)},
        {
            "kl": partial(KLPenalty, Fixed(0.1), K1(), Reward(), EMA(0.5)),
            "sampling": Sampling(max_new_tokens=6, temperature=0.7),
            "trust_region": partial(EarlyStop, 1e-3),
            "inner_epochs": 4,
        },
        {"scorer": Failing(), "on_nonfinite": "drop", "max_nonfinite": 9},
    ],
    ids=["entropy", "micro-batches", "exact", "penalty", "early stop", "drop"],
)
def test_split_invariance_of_the_layouts(tokenizer, settings):
    """Draws, weights and all that is reported."""
    modules = []
    for layout in Layout:
        module = make(
            tokenizer, **{n: v() if isinstance(v, partial) else v for n, v in settings.items()}
        )
        for network in map(network_of, (*module.children(), *module.frozen())):
            setattr(network.base_model, PROBED, layout)
            assert layout_of(network) is layout
        modules.append(train(module))
    *others, padded = modules
    whole = torch.cat([p.detach().flatten() for p in padded.parameters()])
    for module in others:
        assert [row["response"] for row in module.samples] == [
            row["response"] for row in padded.samples
        ]
        own = torch.cat([p.detach().flatten() for p in module.parameters()])
        assert torch.allclose(own, whole, atol=1e-4)
        assert module.record == pytest.approx(padded.record, rel=1e-4, abs=1e-5, nan_ok=True)

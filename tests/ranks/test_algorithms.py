"""Two ranks, against one process, under every algorithm: `tests/ranks/test_training.py` has PPO."""

from functools import partial

import pytest

from rlhf.kl.controller import Fixed
from rlhf.kl.estimator import K3
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import LossWithoutRatio
from rlhf.kl.reference import SFT
from rlhf.modules.advantage import GroupRelative, LeaveOneOut
from rlhf.modules.algorithms.best_of_n import ExpertIteration
from rlhf.modules.algorithms.policy_gradient import GRPO, RLOO
from rlhf.modules.parts import CollectedMinibatches
from tests.modules.algorithms import test_best_of_n, test_dpo, test_ppo, test_ppo_ptx, test_quark
from tests.ranks.test_training import same
from tests.ranks.training import alone_and_shared

GROUPED = {"valued": False, "responses_per_prompt": 4}
MADE = {
    "grpo": partial(
        test_ppo.make,
        algorithm=partial(GRPO, ratio="clipped", clip_high=0.28),
        advantage=GroupRelative(std=True, scale_kl=False),
        kl=KLPenalty(Fixed(0.1), K3(), LossWithoutRatio(), SFT()),
        aggregation="sequence_mean",
        **GROUPED,
    ),
    "rloo": partial(
        test_ppo.make,
        algorithm=partial(RLOO, ratio="none", clip_high=None),
        advantage=LeaveOneOut(),
        inner_epochs=1,
        **GROUPED,
    ),
    "ppo_ptx": test_ppo_ptx.of,
    "expert_iteration": partial(test_best_of_n.make, algorithm=ExpertIteration, round_iterations=2),
    "dpo": partial(test_dpo.make, minibatch_size=4),
    "quark": test_quark.make,
    "quark, the best": partial(test_quark.make, learns="best"),
}
QUICK = ("expert_iteration", "dpo", "quark")
WHOLE = ("quark",)  # whose control tokens no part of a policy has: refused (config/checks/ranks.py)


def some(name):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


def learns_as_one(name, tokenizer, **how):
    def made():
        module = MADE[name](tokenizer)
        return module, CollectedMinibatches(module)

    same(*alone_and_shared(made, **how), 2e-4)


@pytest.mark.parametrize("name", [some(name) for name in MADE if name != "quark, the best"])
def test_two_ranks_learn_what_one_does(tokenizer, name):
    learns_as_one(name, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MADE if name not in WHOLE])
def test_parts_of_a_policy_learn_what_the_whole_does(tokenizer, name):
    learns_as_one(name, tokenizer, sharded=True)

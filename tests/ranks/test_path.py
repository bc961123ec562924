"""A path on two ranks, whole models on each or parts of them: as one process walks it."""

from functools import partial

import pytest

from rlhf.kl.estimator import K1
from rlhf.kl.path import Path
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from tests.ranks.test_training import ppo, same
from tests.ranks.training import alone_and_shared

ANEW = {"restart_lr": True, "keep_optimizer": False, "keep_values": False}


def walking(tokenizer, **given):
    path = Path(0.1, grid=[0.4, 0.1], iterations=3, at_least=1, window=2, tolerance=1.0, **given)
    return ppo(tokenizer, kl=KLPenalty(path, K1(), Reward(), SFT()), iterations=3)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "parts"])
@pytest.mark.parametrize("given", [{}, ANEW], ids=["kept", "anew"])
def test_two_ranks_walk_as_one_process_does(tokenizer, sharded, given):
    alone, shared = alone_and_shared(partial(walking, tokenizer, **given), sharded=sharded)
    same(alone, shared, 2e-4)
    assert [row["kl/coef"] for row in alone["rows"]][0] == 0.4
    assert alone["rows"][-1]["kl/coef"] == 0.1

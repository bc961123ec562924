"""A controller on two ranks, with numbers by hand."""

import pytest
import torch

from rlhf.kl.controller import Adaptive
from rlhf.kl.estimator import K1
from rlhf.kl.penalty import KLPenalty
from rlhf.kl.placement import Reward
from rlhf.kl.reference import SFT
from rlhf.ranks.group import ALONE, Ranks
from rlhf.ranks.rows import gathered
from tests.two_ranks import on_two_ranks

LOG_RATIOS = torch.tensor([[1.0, 0.0], [0.0, 4.0], [2.0, 2.0]])  # of three responses, in nats


def coefficient(ranks, rows):
    """After one update by the KL of the rows of all ranks, with that KL."""
    kl = KLPenalty(Adaptive(0.1, target=2.0, horizon=30), K1(), Reward(), SFT())
    own = LOG_RATIOS[rows]
    ref = torch.zeros_like(own)
    whole = gathered(ranks, [own, ref, own, torch.ones_like(own, dtype=torch.bool)])
    steering = kl.steering_kl(*whole)
    kl.update(steering)
    return steering.sequence_nats, steering.episodes, kl.coef


def test_controller_ddp():
    """Responses of 1, 4 and 4 nats: 3 in the mean over responses, on whichever rank they are (the
    mean of the ranks' means, 2.5 and 4, would be 3.25). With a target of 2 the error is cut at 0.2:
    0.1 * (1 + 0.2 * 3 / 30) = 0.102 on both ranks, and in one process, which has no group."""

    def rank(number):
        ranks = Ranks(rank=number, size=2)
        return coefficient(ranks, ranks.own(3))

    expected = (3.0, 3, pytest.approx(0.102))
    assert [*on_two_ranks(rank), coefficient(ALONE, slice(None))] == [expected] * 3

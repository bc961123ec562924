import math

import pytest
import torch
from torch import tensor

from rlhf.oracle import (
    best_of_n_curve,
    best_policy,
    beta_for_kl,
    check_normalised,
    effective_beta,
    exact_sequence_kl,
    expected,
    frontier,
    greedy_policy,
    mean_standing,
    optimal_policy,
    reward_at_kl,
    standings,
)

REF = tensor([[0.5, 0.25, 0.25], [0.2, 0.4, 0.4]], dtype=torch.float64).log()
REWARD = tensor([[0.0, math.log(2.0), math.log(4.0)], [1.0, 1.0, -1.0]], dtype=torch.float64)


def test_standing_by_hand() -> None:
    """Reference 1/2, 1/4, 1/4 with rewards 0, log 2, log 4 and beta 1: Z = 2, pi* = 1/4, 1/4,
    1/2."""
    even = torch.full((1, 3), math.log(1 / 3), dtype=torch.float64)
    found = standings(even, REF[:1], REWARD[:1], 1.0)[0]
    assert found.reward == pytest.approx(math.log(2.0))
    assert found.kl == pytest.approx((math.log(2 / 3) + 2 * math.log(4 / 3)) / 3)
    assert found.entropy == pytest.approx(math.log(3.0))
    assert found.objective == pytest.approx(found.reward - found.kl)
    assert (found.optimum, found.reference) == (
        pytest.approx(math.log(2.0)),
        pytest.approx(0.75 * math.log(2.0)),
    )
    assert found.optimum_reward == pytest.approx(1.25 * math.log(2.0))
    assert found.optimum_kl == pytest.approx(found.optimum_reward - found.optimum)
    # even to pi* = 1/4, 1/4, 1/2: (2 log 4/3 + log 2/3) / 3, and the gap is beta times that
    assert found.kl_to_optimum == pytest.approx((2 * math.log(4 / 3) + math.log(2 / 3)) / 3)
    assert found.gap == pytest.approx(found.kl_to_optimum)
    assert found.share_of_gain == pytest.approx(
        (found.objective - found.reference) / (0.25 * math.log(2.0))
    )


@pytest.mark.parametrize("beta", [0.0, 0.05, 0.5, 5.0])
def test_reference_has_nothing_and_optimum_all_of_the_gain(beta: float) -> None:
    for policy, share in ((REF, 0.0), (best_policy(REF, REWARD, beta), 1.0)):
        for row in (
            *standings(policy, REF, REWARD, beta),
            mean_standing(standings(policy, REF, REWARD, beta)),
        ):
            assert row.share_of_gain == pytest.approx(share, abs=1e-9)
            assert row.gap == pytest.approx((1 - share) * (row.optimum - row.reference), abs=1e-9)


@pytest.mark.parametrize("beta", [0.05, 0.5, 5.0])
def test_the_gap_is_beta_times_the_distance_to_the_optimum(beta: float) -> None:
    even = torch.full((2, 3), math.log(1 / 3), dtype=torch.float64)
    for row in standings(even, REF, REWARD, beta):
        assert row.gap == pytest.approx(beta * row.kl_to_optimum)


def test_without_a_penalty_only_the_best_responses_are_at_no_distance() -> None:
    greedy = greedy_policy(REF, REWARD)
    assert [row.kl_to_optimum for row in standings(greedy, REF, REWARD, 0.0)] == [0.0, 0.0]
    assert [row.kl_to_optimum for row in standings(REF, REF, REWARD, 0.0)] == [math.inf, math.inf]
    # what a probability of exp(-1000) has more is nothing
    near = tensor([[0.0, -1000.0, -1000.0]], dtype=torch.float64)
    best = tensor([[0.0, -torch.inf, -torch.inf]], dtype=torch.float64)
    assert exact_sequence_kl(near, best).item() == 0.0


def test_effective_beta_by_hand() -> None:
    """Reference 1/2, 1/2, rewards 0 and 1. The policy 1/5, 4/5 is the optimum of the coefficient
    with exp(1 / beta) = 4: beta = 1 / log 4."""
    ref = tensor([[0.5, 0.5]], dtype=torch.float64).log()
    reward = tensor([[0.0, 1.0]], dtype=torch.float64)
    kl = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    assert effective_beta(ref, reward, kl) == pytest.approx(1 / math.log(4), rel=1e-6)
    # less KL is that of a larger coefficient; of none is 0 nats, nor the log 2 of the best response
    assert effective_beta(ref, reward, kl / 2) > 1 / math.log(4)
    assert effective_beta(ref, reward, 0.7) == 0.0
    assert effective_beta(ref, reward, math.log(2)) == pytest.approx(0.0, abs=0.03)
    assert effective_beta(ref, reward, 0.0) == effective_beta(ref, reward, -1e-9) == math.inf


def test_nothing_to_gain_is_no_share() -> None:
    assert math.isnan(standings(REF, REF, torch.zeros(2, 3), 1.0)[0].share_of_gain)


def test_greedy_is_the_limit_for_small_beta() -> None:
    near, _ = optimal_policy(REF, REWARD, 1e-3)
    torch.testing.assert_close(near.exp(), greedy_policy(REF, REWARD).exp())
    torch.testing.assert_close(
        greedy_policy(REF, REWARD)[1].exp(), tensor([1 / 3, 2 / 3, 0.0], dtype=torch.float64)
    )


def test_greedy_leaves_out_what_the_reference_cannot_say() -> None:
    assert greedy_policy(tensor([0.5, 0.5, 0.0]).log(), tensor([0.0, 1.0, 9.0])).exp().tolist() == [
        0.0,
        1.0,
        0.0,
    ]


@pytest.mark.parametrize("beta", [0.1, 0.7, 3.0])
def test_the_way_back_from_kl_to_beta_and_reward(beta: float) -> None:
    best = best_policy(REF, REWARD, beta)
    kl = exact_sequence_kl(best, REF).mean().item()
    assert beta_for_kl(REF, REWARD, kl) == pytest.approx(beta, rel=1e-6)
    assert reward_at_kl(REF, REWARD, kl) == pytest.approx(expected(REWARD, best).mean().item())


def test_reward_at_the_ends_of_the_frontier() -> None:
    assert reward_at_kl(REF, REWARD, 0.0) == pytest.approx(expected(REWARD, REF).mean().item())
    assert reward_at_kl(REF, REWARD, 50.0) == pytest.approx((math.log(4.0) + 1.0) / 2)
    with pytest.raises(ValueError, match="no coefficient"):
        beta_for_kl(REF, REWARD, 50.0)


def test_no_policy_lies_above_the_frontier() -> None:
    draws = torch.randn(
        50, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).log_softmax(-1)
    for logp in draws:
        kl, reward = (
            exact_sequence_kl(logp, REF).mean().item(),
            expected(REWARD, logp).mean().item(),
        )
        assert reward <= reward_at_kl(REF, REWARD, kl) + 1e-9


def test_frontier_and_best_of_n_below_it() -> None:
    points = frontier(REF, REWARD, (0.1, 1.0))
    assert points[0]["kl"] > points[1]["kl"] and points[0]["reward"] > points[1]["reward"]
    for row in best_of_n_curve(REF, REWARD, (1, 2, 8)):
        assert row["kl"] <= row["formula_kl"] + 1e-12
        assert row["reward"] <= reward_at_kl(REF, REWARD, row["kl"]) + 1e-9


def test_a_listing_that_misses_responses_is_refused() -> None:
    check_normalised(REF)
    with pytest.raises(ValueError, match="not 1"):
        check_normalised(REF[:, :2])

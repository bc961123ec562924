import math

import numpy as np
import pytest

from rlhf.compare.read.curves import Evaluation
from rlhf.compare.statistics.along_kl.reading import follow, read_at


def _points(*points, rollout=False, first=0, se=0.1):
    """(KL, reward) of one iteration after another."""
    return [
        Evaluation(iteration=first + i, kl=kl, reward=r, reward_se=se, kl_se=0.0, rollout=rollout)
        for i, (kl, r) in enumerate(points)
    ]


def _read(points, kl):
    return read_at(follow(points), kl)


def test_matched_kl_two_points_are_a_straight_line_in_the_root_of_kl():
    """sqrt(KL) is 1.2 and 1.8, rewards 1 and 1.6: at 1.5 the mean of both, error 0.1 / sqrt(2)."""
    reading = _read(_points((0.0, 0.0), (1.44, 1.0), (3.24, 1.6)), 2.25)
    assert (reading.reward, reading.iteration, reading.share) == pytest.approx((1.3, 1.5, 0.75))
    assert reading.reward_se == pytest.approx(0.1 / math.sqrt(2))
    assert (reading.kl, reading.short, reading.points) == (2.25, False, 2)


def test_six_points_are_a_parabola():
    """Reward 1 + 2 d - d^2 / 2 with d = sqrt(KL): at 4 nats 3, whatever the weights."""
    kls = [(0.2 * i) ** 2 for i in range(24)]
    points = _points(*((kl, 1 + 2 * math.sqrt(kl) - kl / 2) for kl in kls))
    assert _read(points, 4.0).reward == pytest.approx(3.0)
    assert _read(points, 6.0).reward == pytest.approx(1 + 2 * math.sqrt(6) - 3)


def test_rollouts_are_moved_to_the_level_of_the_evaluations_of_the_same_policy():
    """On training prompts everything is 0.3 more reward at 1.21 times the KL."""
    kls = [(0.25 * i) ** 2 for i in range(13)]
    evaluated = [
        Evaluation(iteration=i, kl=kls[i], reward=math.sqrt(kls[i]), reward_se=0.05)
        for i in (0, 4, 8, 12)
    ]
    rolled = _points(*((1.21 * kl, math.sqrt(kl) + 0.3) for kl in kls[:12]), rollout=True)
    way = follow([*rolled, *evaluated])
    assert way.d[:4] == pytest.approx([0.0, 0.0, 0.25, 0.5])
    reading = read_at(way, 2.25)
    assert reading.reward == pytest.approx(1.5) and reading.points > 6
    # 0.05 / sqrt(4) at least: the level is that of the evaluations
    assert 0.025 < reading.reward_se < 0.15


def test_matched_kl_the_last_time_counts():
    """Up to 10 nats at reward 1, then down to 3 at reward 3."""
    up = [(i / 4, 1.0) for i in range(41)]
    down = [(10 - 7 * i / 60, 3.0) for i in range(1, 61)]
    assert _read(_points(*up, *down), 5.0).reward == pytest.approx(3.0)


def test_frontier_claim_nothing_is_read_where_nothing_lies_near():
    points = _points((0.0, 0.0), (1.0, 1.0), (30.0, 2.0))
    assert _read(points, 5.0) is None  # neither within a factor of 2
    assert _read(points, 1.5) is None  # nothing above
    assert _read(points, 20.0) is None  # nothing below
    assert _read(points, 40.0) is None
    assert _read([], 5.0) is None
    assert _read(_points((3.0, 1.0), (4.0, 2.0)), 1.0) is None  # began beyond it


def test_a_run_that_came_near_is_read_at_its_furthest():
    reading = _read(_points((0.0, 0.0), (2.0, 1.0), (4.6, 2.0)), 5.0)
    assert reading.short and reading.kl == pytest.approx(4.6)
    assert reading.reward == pytest.approx(2.0) and reading.iteration == 2


def test_a_leap_that_training_took_back_is_no_way_to_a_kl():
    points = _points((0.0, 0.0), (6.0, -2.0), (1.0, 0.2), (3.0, 1.0), (4.0, 1.5))
    assert _read(points, 5.0) is None
    assert _read(points, 2.0).reward > 0


def test_the_noise_of_the_kl_counts_with_the_slope():
    """Reward 2 sqrt(KL): an error of 0.3 of the KL at 2.25 nats is 0.1 of its root, so 0.2 of the
    reward, beside 0.1 of its own."""
    kls = (1.44, 3.24)
    rows = [
        Evaluation(
            iteration=i, kl=kl, reward=2 * math.sqrt(kl), reward_se=0.1, kl_se=0.2 * math.sqrt(kl)
        )
        for i, kl in enumerate(kls)
    ]
    # kl_se / (2 sqrt(KL)) = 0.1 at both
    assert _read(rows, 2.25).reward_se == pytest.approx(math.hypot(0.1, 0.2) / math.sqrt(2))


def test_without_known_errors_the_residuals_tell():
    draw = np.random.default_rng(0)
    rows = [
        Evaluation(iteration=i, kl=4 + 0.02 * i, reward=1 + draw.normal(0, 0.2), reward_se=math.nan)
        for i in range(20)
    ]
    assert 0.03 < _read(rows, 4.2).reward_se < 0.12
    two = [
        Evaluation(iteration=i, kl=kl, reward=1.0, reward_se=math.nan)
        for i, kl in enumerate((4, 6))
    ]
    assert math.isnan(_read(two, 5.0).reward_se)

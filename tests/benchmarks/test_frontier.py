"""What a policy is held against, of the frontiers' benchmark."""

import math

import pytest

from benchmarks.frontier.matched import difference, reward_at


def test_between_two_points_a_reward_is_linear_in_the_root_of_kl():
    """From (0, 0) over (4, 2) to (9, 3): at 1 nat half of 2, at 6.25 halfway from 2 to 3."""
    curve = [(4.0, 2.0), (0.0, 0.0), (9.0, 3.0)]
    assert reward_at(curve, 1.0) == pytest.approx(1.0)
    assert reward_at(curve, 6.25) == pytest.approx(2.5)
    assert reward_at(curve, 4.0) == pytest.approx(2.0)
    assert reward_at(curve, 9.5) is None


def test_a_difference_over_seeds_has_a_t_interval():
    """Of 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.303: 4.303 / sqrt(3) = 2.484."""
    three = difference([1.0, 2.0, 3.0])
    assert three.mean == 2 and three.half == pytest.approx(2.484, abs=1e-3)
    assert three.holds_zero and str(three) == "+2.00 ± 2.48"
    assert not difference([1.9, 2.0, 2.1]).holds_zero
    one = difference([0.5])
    assert math.isinf(one.half) and one.holds_zero and str(one) == "+0.50"
    assert difference([]) is None

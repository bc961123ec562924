import math
import random

import pytest

from rlhf.sweeps.searches.find import NoBracket, Point, good, nearest, propose


def search(curve, low, high, target, *, tolerance=0.05, error=0.0, most=12):
    points = []
    while not any(good(point, target, tolerance) for point in points):
        points += [Point(x, curve(x), error) for x in propose(points, low, high, target)]
        assert len(points) <= most
    return points


def test_the_ends_first_then_the_secant_in_logarithms():
    """y = 1/x is a line there: one step. 4 lies two thirds of the way from 1 to 8 = 2^3."""
    points = search(lambda x: 1 / x, 1 / 8, 1.0, 4.0)
    assert [point.x for point in points[:2]] == [1 / 8, 1.0]
    assert points[2].x == pytest.approx(1 / 4)
    assert len(points) == 3


@pytest.mark.parametrize(
    "curve", [lambda x: 3 / (x + 0.1), lambda x: 30 * math.exp(-8 * x), lambda x: 3 + 40 * x]
)
@pytest.mark.parametrize("target", [5.0, 15.0])
def test_curves_that_are_no_lines(curve, target):
    points = search(curve, 0.01, 1.0, target, tolerance=0.02)
    assert abs(nearest(points, target).y - target) <= 0.02 * target


def test_noise_does_not_trap_it():
    for seed in range(50):
        draw = random.Random(seed)
        points = search(lambda x, draw=draw: 1 / x + draw.gauss(0, 0.3), 0.02, 1.0, 5.0, error=0.3)
        assert nearest(points, 5.0).x == pytest.approx(0.2, rel=0.35)


def test_close_enough_is_the_tolerance_or_the_standard_error():
    assert good(Point(0.1, 5.2, 0.0), 5.0, 0.05)
    assert not good(Point(0.1, 5.3, 0.2), 5.0, 0.05)
    assert good(Point(0.1, 5.3, 0.4), 5.0, 0.05)


def test_a_target_outside_is_refused():
    with pytest.raises(NoBracket, match="from 50 at 0.02 to 1 at 1: 60 is not between"):
        propose([Point(0.02, 50.0, 0.1), Point(1.0, 1.0, 0.1)], 0.02, 1.0, 60.0)


def test_an_estimate_below_zero_is_a_small_number():
    (x,) = propose([Point(0.01, 10.0, 0.1), Point(1.0, -0.01, 0.1)], 0.01, 1.0, 5.0)
    assert 0.01 < x < 1.0

import math

import pytest

from rlhf.compare.statistics.estimates import Estimate, gap, over_runs, same_thing, show

NAN = math.nan


def test_three_seeds_by_hand():
    # mean 2, deviations -1, 0, 1: std sqrt(2/2) = 1, se 1/sqrt(3); evaluating alone: sqrt(0.01/3)
    e = over_runs([1.0, 2.0, 3.0], [0.1, 0.1, 0.1])
    assert (e.mean, e.std, e.n, e.lost, e.spread) == (2.0, 1.0, 3, 0, 1.0)
    assert e.se == pytest.approx(1 / math.sqrt(3))


def test_seeds_that_agree_by_chance_are_not_certain():
    # std 0, but each evaluation has se 0.2: sqrt((0.04 + 0.04) / 2 / 2) = 0.2 / sqrt(2)
    assert over_runs([1.0, 1.0], [0.2, 0.2]).se == pytest.approx(0.2 / math.sqrt(2))
    assert over_runs([1.0, 1.0], [NAN, NAN]).se == 0.0


def test_one_run_has_its_own_standard_error():
    e = over_runs([1.5], [0.25])
    assert (e.mean, e.se, e.n, e.spread) == (1.5, 0.25, 1, 0.25)
    assert math.isnan(e.std)
    assert math.isnan(over_runs([1.5], [NAN]).se)


def test_what_is_not_finite_is_left_out_and_counted():
    e = over_runs([1.0, NAN, math.inf, 3.0], [0.0, 0.0, 0.0, 0.0])
    assert (e.mean, e.n, e.lost) == (2.0, 2, 2)
    nothing = over_runs([NAN, -math.inf], [0.1, 0.1])
    assert (nothing.n, nothing.lost) == (0, 2)
    assert math.isnan(nothing.mean)
    assert over_runs([], []).n == 0


def test_one_quantity_told_often_is_not_more_certain():
    e = same_thing([1.0, 1.0, NAN], [0.3, 0.3, NAN])
    assert (e.mean, e.se, e.n) == (1.0, 0.3, 1)
    assert math.isnan(same_thing([NAN], [0.1]).mean)


def _estimate(mean, se):
    return Estimate(mean, NAN, se, 1)


def test_gap_by_hand():
    # (3 - 1) / sqrt(0.3^2 + 0.4^2) = 2 / 0.5
    assert gap(_estimate(3.0, 0.3), _estimate(1.0, 0.4)) == pytest.approx(4.0)
    assert gap(_estimate(1.0, 0.3), _estimate(3.0, 0.4)) == pytest.approx(-4.0)
    assert gap(_estimate(1.0, 0.0), _estimate(1.0, 0.0)) == 0.0
    assert gap(_estimate(2.0, 0.0), _estimate(1.0, 0.0)) == math.inf
    assert math.isnan(gap(_estimate(NAN, 0.1), _estimate(1.0, 0.1)))
    assert math.isnan(gap(_estimate(1.0, NAN), _estimate(1.0, 0.1)))


@pytest.mark.parametrize(
    ("mean", "se", "text"),
    [
        (1.23456, 0.0312, "1.235 ± 0.031"),
        (12.3, 2.0, "12.3 ± 2.0"),
        (123.4, 25.0, "123 ± 25"),
        (1.5, math.nan, "1.5"),
        (math.nan, 1.0, "-"),
        (2.0, 0.0, "2"),
    ],
)
def test_numbers_carry_two_digits_of_their_error(mean, se, text):
    assert show(Estimate(mean, math.nan, se, 1)) == text

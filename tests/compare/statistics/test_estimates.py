import math

import pytest

from rlhf.compare.statistics.estimates import (
    BOTH,
    EVALUATION,
    SEEDS,
    Z95,
    Estimate,
    difference,
    gap,
    interval,
    over_runs,
    same_thing,
    show,
    welch,
)

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


def test_one_run_has_the_noise_of_its_evaluation():
    found = interval([2.0], [0.1])
    assert (found.mean, found.n, found.source) == (2.0, 1, EVALUATION)
    assert (found.low, found.high) == pytest.approx((2.0 - Z95 * 0.1, 2.0 + Z95 * 0.1))


def test_three_seeds_span_their_range():
    """All three the same with probability 1/27 > 0.025, so the percentiles are the extremes."""
    found = interval([1.0, 2.0, 6.0], [0.01] * 3)
    assert (found.mean, found.low, found.high, found.n, found.source) == (3.0, 1.0, 6.0, 3, SEEDS)


def test_many_seeds_come_near_the_normal_interval():
    values = [math.sin(i * 12.9898) for i in range(40)]
    found, mean = interval(values, [0.0] * 40), sum(values) / 40
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / 40)
    assert found.low == pytest.approx(mean - Z95 * std / math.sqrt(40), abs=0.02)
    assert found.high == pytest.approx(mean + Z95 * std / math.sqrt(40), abs=0.02)


def test_seeds_that_agree_by_chance_keep_the_noise_of_evaluating():
    found = interval([1.0, 1.0], [0.2, 0.2])
    assert (found.low, found.high) == pytest.approx(
        (1 - Z95 * 0.2 / math.sqrt(2), 1 + Z95 * 0.2 / math.sqrt(2))
    )


def test_what_is_not_known():
    assert interval([NAN], [0.1]).n == 0
    lone = interval([1.0, NAN], [NAN, 0.1])
    assert (lone.mean, lone.n, lone.source) == (1.0, 1, "") and math.isnan(lone.low)
    assert (interval([1.0, 1.0], [NAN, NAN]).low, interval([1.0, 1.0], [NAN, NAN]).high) == (
        1.0,
        1.0,
    )


def test_differences():
    alone = difference([3.0], [0.3], [1.0], [0.4])  # sqrt(0.09 + 0.16) = 0.5
    assert (alone.mean, alone.low, alone.high) == pytest.approx(
        (2.0, 2.0 - Z95 * 0.5, 2.0 + Z95 * 0.5)
    )
    assert alone.clear_of_zero
    seeds = difference([3.0, 5.0, 4.0], [0.0] * 3, [1.0, 2.0, 3.0], [0.0] * 3)
    assert seeds.mean == 2.0 and 0.0 < seeds.low < 1.0 < 3.0 < seeds.high < 4.0
    assert not difference([1.0], [0.5], [0.5], [0.5]).clear_of_zero
    assert difference([1.0], [0.5], [], []).n == 0


def test_the_same_again_is_the_same():
    assert interval([1.0, 2.0, 4.0, 5.0], [0.1] * 4) == interval([1.0, 2.0, 4.0, 5.0], [0.1] * 4)


def test_one_run_against_several_has_the_noise_of_both():
    """Three seeds: 0.967 (0.4 to 1.5), from their range. One: +-1.96 x 0.05. In quadrature 0.575
    below and 0.542 above."""
    values, mean = [1.0, 1.5, 0.4], 2.9 / 3
    one = Z95 * 0.05
    found = difference(values, [0.05] * 3, [0.7], [0.05])
    low, high = math.hypot(mean - 0.4, one), math.hypot(1.5 - mean, one)
    assert (found.mean, found.low, found.high) == pytest.approx(
        (mean - 0.7, mean - 0.7 - low, mean - 0.7 + high)
    )
    assert found.source == BOTH and not found.clear_of_zero
    back = difference([0.7], [0.05], values, [0.05] * 3)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    silent = difference(values, [0.05] * 3, [0.7], [NAN])
    assert silent.source == "" and not silent.known and not silent.clear_of_zero


def test_welch_by_hand():
    """Means 2 and 6, variances 1: t = 4 / sqrt(2/3) = 4.899 with 4 degrees of freedom."""
    assert welch([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]) == pytest.approx(0.00805, abs=1e-5)
    assert math.isnan(welch([1.0, NAN], [5.0, 6.0])) and math.isnan(welch([1.0, 1.0], [2.0, 2.0]))


def test_welch_of_values_that_only_rounding_tells_apart():
    assert math.isnan(welch([0.1 + 0.2, 0.3, 0.3], [0.7, 0.7, 0.7]))

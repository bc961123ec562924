import math

import pytest

from rlhf.compare.statistics.estimates import (
    BORROWED,
    EVALUATION,
    SEEDS,
    brief,
    critical,
    difference,
    freedom,
    interval,
    plus_minus,
    pooled,
)
from rlhf.compare.statistics.means import over_runs, same_thing
from rlhf.metrics import Z95

NAN = math.nan


def test_three_seeds_by_hand():
    # mean 2, deviations -1, 0, 1: std sqrt(2/2) = 1, se 1/sqrt(3), whatever the evaluations' noise
    e = over_runs([1.0, 2.0, 3.0], [5.0, 0.1, 0.1])
    assert (e.mean, e.std, e.n, e.lost) == (2.0, 1.0, 3, 0)
    assert e.se == pytest.approx(1 / math.sqrt(3))


def test_one_run_has_its_own_standard_error():
    e = over_runs([1.5], [0.25])
    assert (e.mean, e.se, e.n) == (1.5, 0.25, 1)
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
    assert plus_minus(mean, se) == text


def test_one_run_has_the_noise_of_its_evaluation():
    found = interval([2.0], [0.1])
    assert (found.mean, found.n, found.source) == (2.0, 1, EVALUATION)
    assert (found.low, found.high) == pytest.approx((2.0 - Z95 * 0.1, 2.0 + Z95 * 0.1))


def test_three_seeds_by_students_t():
    """1, 2, 6: mean 3, s^2 = (4 + 1 + 9) / 2 = 7; t of 2 degrees of freedom is 4.303."""
    over = interval([1.0, 2.0, 6.0], [0.01] * 3)
    half = 4.302653 * math.sqrt(7 / 3)
    assert (over.mean, over.n, over.source) == (3.0, 3, SEEDS)
    assert (over.low, over.high) == pytest.approx((3 - half, 3 + half))
    assert over.half == pytest.approx(half) and brief(over) == "3.0 ± 6.6"


def test_two_seeds_have_one_degree_of_freedom():
    """1 and 2: mean 1.5, s / sqrt(2) = 0.5, t = 12.706. A bootstrap said 1 to 2."""
    over = interval([1.0, 2.0], [0.1, 0.1])
    assert (over.low, over.high) == pytest.approx((1.5 - 6.353, 1.5 + 6.353), abs=1e-3)


def test_seeds_that_agree_to_the_last_digit_have_the_noise_of_evaluating():
    alike = interval([1.0, 1.0], [0.2, 0.2])
    half = Z95 * 0.2 / math.sqrt(2)
    assert (alike.low, alike.high) == pytest.approx((1 - half, 1 + half))
    assert alike.source == EVALUATION
    # 0.1 + 0.2 is 0.3 but for rounding
    assert interval([0.1 + 0.2, 0.3], [0.2, 0.2]).source == EVALUATION


def test_what_is_not_known():
    assert interval([NAN], [0.1]).n == 0
    lone = interval([1.0, NAN], [NAN, 0.1])
    assert (lone.mean, lone.n, lone.source) == (1.0, 1, "") and math.isnan(lone.low)
    assert not interval([1.0, 1.0], [NAN, NAN]).known


def test_differences():
    alone = difference([3.0], [0.3], [1.0], [0.4])  # sqrt(0.09 + 0.16) = 0.5
    assert (alone.mean, alone.low, alone.high) == pytest.approx(
        (2.0, 2.0 - Z95 * 0.5, 2.0 + Z95 * 0.5)
    )
    assert alone.clear_of_zero
    # variances 1 and 1: sqrt(2/3), Welch's degrees of freedom 2^2 / (2 / 4) - 2 = 6, capped at 4
    seeds = difference([3.0, 5.0, 4.0], [0.0] * 3, [1.0, 2.0, 3.0], [0.0] * 3)
    half = 2.776445 * math.sqrt(2 / 3)
    assert (seeds.mean, seeds.low, seeds.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))
    assert (seeds.source, seeds.n) == (SEEDS, 3)
    assert not difference([1.0], [0.5], [0.5], [0.5]).clear_of_zero
    assert difference([1.0], [0.5], [], []).n == 0


def test_the_same_again_is_the_same():
    assert interval([1.0, 2.0, 4.0, 5.0], [0.1] * 4) == interval([1.0, 2.0, 4.0, 5.0], [0.1] * 4)


def test_unequal_spreads_have_fewer_degrees_of_freedom():
    """0, 2 and 0, 20: variances 2 and 200, sum 202. 202^2 / ((2^2 + 200^2) / 3) - 2 = 1.060."""
    spread = pooled([[0.0, 2.0], [0.0, 20.0]])
    assert spread.df == pytest.approx(3 * 202**2 / 40004 - 2) and spread.variance == 101.0
    of = difference([0.0, 2.0], [0.0] * 2, [0.0, 20.0], [0.0] * 2)
    assert of.half == pytest.approx(critical(spread.df) * math.sqrt(101))
    assert critical(1.0) == pytest.approx(12.7062, abs=1e-4)


def test_a_pair_never_varies_less_than_it_did():
    """Two runs of variance 200 beside five of 0.25: pooled (200 + 1) / 5 over 1/2 + 1/5 is 28; the
    two's own is 100 + 0.05, with little more than one degree of freedom."""
    few, many = [0.0, 20.0], [0.0, 1.0, 0.0, 1.0, 0.5]
    own = [(200 / 2, 1), (0.25 / 5, 4)]
    assert _variance(many) == 0.25
    df = (100.05**2) / (100**2 / 3 + 0.05**2 / 6) - 2
    of = difference(few, [0.0] * 2, many, [0.0] * 5)
    assert freedom(own) == pytest.approx(df) and df == pytest.approx(1.003, abs=1e-3)
    assert of.half == pytest.approx(critical(df) * math.sqrt(100.05))
    # and the other way round: the pooled one where the small sample agrees by chance
    small = difference([0.0, 0.0], [0.0] * 2, many, [0.0] * 5)
    assert small.half == pytest.approx(critical(4.0) * math.sqrt(4 * 0.25 / 5 * 0.7))


def _variance(values):
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / (len(values) - 1)


def test_one_run_against_several_varies_as_they_do():
    """1, 1.5, 0.4: s^2 = 0.3033; the one borrows it: t_2 s sqrt(1 + 1/3)."""
    values = [1.0, 1.5, 0.4]
    half = 4.302653 * math.sqrt(_variance(values) * 4 / 3)
    of = difference(values, [0.05] * 3, [0.7], [0.05])
    assert of.mean == pytest.approx(2.9 / 3 - 0.7) and of.half == pytest.approx(half)
    assert (of.source, of.n) == (BORROWED, 1)
    back = difference([0.7], [NAN], values, [0.05] * 3)
    assert (back.low, back.high) == pytest.approx((-of.high, -of.low))


def test_all_differences_at_once_need_more():
    """Studentized range, 5 means, 10 degrees of freedom: 4.654 (tables); t is 2.228."""
    assert critical(10.0) == pytest.approx(2.228, abs=1e-3)
    assert critical(10.0, 5) == pytest.approx(4.654 / math.sqrt(2), abs=1e-3)
    assert critical(math.inf, 2) == pytest.approx(Z95, abs=1e-6)
    assert critical(math.inf, 3) == pytest.approx(3.314 / math.sqrt(2), abs=1e-3)


def test_a_pair_picked_among_three_needs_more():
    """Studentized range of 3 means: 5.040 at 4 degrees of freedom, 3.314 at infinitely many."""
    zeros, a, b = [0.0] * 3, [3.0, 5.0, 4.0], [1.0, 2.0, 3.0]
    seeds = difference(a, zeros, b, zeros, 3)
    assert seeds.half == pytest.approx(5.040 / math.sqrt(2) * math.sqrt(2 / 3), abs=1e-3)
    alone = difference([3.0], [0.3], [1.0], [0.4], 3)
    assert alone.half == pytest.approx(3.314 / math.sqrt(2) * 0.5, abs=1e-3)

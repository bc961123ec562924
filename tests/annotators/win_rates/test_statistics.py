import math

import pytest
import torch

from rlhf.annotators.win_rates.statistics import (
    PRIOR_VARIANCE,
    length_controlled,
    lengths,
    position_bias,
    ties,
    win_rate,
)


def numbers(*values):
    return torch.tensor(values, dtype=torch.float64)


def own(count):
    """Each comparison of a prompt of its own."""
    return torch.arange(count)


def test_the_win_rate_is_the_mean_preference_with_its_error_over_prompts():
    # 1, 1, 0, 0.5: mean 5/8; squares 9/64, 9/64, 25/64, 1/64 = 44/64, s^2 = 44/192
    rate = win_rate(numbers(1, 1, 0, 0.5), own(4))
    assert rate.mean == 0.625
    assert rate.se == pytest.approx(math.sqrt(44 / 192 / 4))


def test_a_prompt_counts_once_however_often_it_was_asked():
    # prompt 0: 1, 1, 0.5, 0.5 -> 3/4; prompt 1: 0 -> 0; mean 3/8, s = 0.75 / sqrt(2)
    rate = win_rate(numbers(1, 1, 0.5, 0.5, 0), torch.tensor([0, 0, 0, 0, 1]))
    assert (rate.mean, rate.se) == (0.375, pytest.approx(0.75 / math.sqrt(2) / math.sqrt(2)))


def test_one_prompt_has_no_error():
    rate = win_rate(numbers(1, 0), torch.tensor([0, 0]))
    assert rate.mean == 0.5 and math.isnan(rate.se)


def test_position_bias():
    """Shown first and second: preferred both times; preferred when first alone; a tie that becomes
    a loss; never."""
    bias = position_bias(numbers(1, 1, 0.5, 0), numbers(0.9, 0, 0, 0))
    assert bias.changed == 0.5  # the second and the third
    # for the first place: 1, 1, 0.5, 0 and 1 - (0.9, 0, 0, 0) = 0.1, 1, 1, 1; sum 5.6 of 8
    assert bias.first_place == pytest.approx(0.7)


def test_an_annotator_without_a_place_of_its_own_prefers_none():
    given = numbers(0.8, 0.3, 0.5)
    bias = position_bias(given, given)
    assert (bias.changed, bias.first_place) == (0.0, 0.5)


def test_ties_are_exact():
    assert ties(numbers(0.5, 0.5 + 1e-9, 1, 0.5)) == 0.5


# --- equal length


def test_without_a_length_effect_it_is_the_plain_win_rate_with_its_error():
    """Longer and shorter answers win equally often: the estimate and its error are the plain
    ones, exactly."""
    preferences, groups = numbers(1, 0, 1, 0, 1, 0, 1, 1, 1, 1), own(10)
    differences = numbers(5, 5, -5, -5, 0, 0, 9, -9, 0, 0)
    controlled, plain = (
        length_controlled(preferences, differences, groups),
        win_rate(preferences, groups),
    )
    assert controlled.effect == pytest.approx(0.0, abs=1e-6)
    assert controlled.mean == pytest.approx(plain.mean, abs=1e-8)
    assert controlled.se == pytest.approx(plain.se, rel=1e-6)


@pytest.mark.parametrize("differences", [numbers(0, 0, 0, 0), numbers(7, 7, 7, 7)])
def test_lengths_that_do_not_differ_control_nothing(differences):
    preferences = numbers(1, 1, 0, 1)
    controlled, plain = (
        length_controlled(preferences, differences, own(4)),
        win_rate(preferences, own(4)),
    )
    assert (controlled.mean, controlled.se, controlled.effect) == (plain.mean, plain.se, 0.0)


@pytest.mark.parametrize("always", [0.0, 1.0])
def test_who_always_wins_wins_at_equal_length_too(always):
    preferences = torch.full((4,), always, dtype=torch.float64)
    controlled = length_controlled(preferences, numbers(1, -1, 2, 3), own(4))
    assert (controlled.mean, controlled.se) == (always, 0.0)


def test_who_wins_by_length_alone_is_even_at_equal_length():
    """Longer wins, shorter loses: without a prior the effect would be infinite."""
    preferences, differences = numbers(1, 1, 0, 0), numbers(10, 10, -10, -10)
    controlled = length_controlled(preferences, differences, own(4))
    assert controlled.mean == pytest.approx(0.5) and 1 < controlled.effect < 100
    # its first-order condition, by hand: 4 x (1 - s(phi x)) = phi / 10, x = tanh(10 / s_d)
    x = math.tanh(10 / (20 / math.sqrt(3)))
    left = 4 * x * (1 - 1 / (1 + math.exp(-controlled.effect * x)))
    assert left == pytest.approx(controlled.effect / PRIOR_VARIANCE, rel=1e-6)


def synthetic(count, theta, phi, seed):
    """Verdicts of the model itself, of a policy whose answers are longer by half a standard
    deviation."""
    draws = torch.Generator().manual_seed(seed)
    differences = 40 * torch.randn(count, dtype=torch.float64, generator=draws) + 30
    x = torch.tanh(differences / differences.std())
    p = torch.sigmoid(theta + phi * x)
    u = torch.rand(count, dtype=torch.float64, generator=draws)
    return (u < p).double(), differences


def test_a_known_length_effect_is_taken_out():
    theta, phi = -0.4, 1.5
    preferences, differences = synthetic(20_000, theta, phi, seed=0)
    plain = win_rate(preferences, own(20_000)).mean
    controlled = length_controlled(preferences, differences, own(20_000))
    true = 1 / (1 + math.exp(-theta))  # 0.401
    assert plain > 0.52  # the policy seems better than the baseline, by length alone
    assert controlled.mean == pytest.approx(true, abs=3 * controlled.se)
    assert controlled.effect == pytest.approx(phi, abs=0.1)
    assert controlled.se < 0.005


def test_its_error_is_that_of_the_estimate():
    """Over 200 data sets the spread of the estimates is the mean of their errors."""
    every = [length_controlled(*synthetic(300, 0.3, 1.0, seed), own(300)) for seed in range(200)]
    spread = torch.tensor([each.mean for each in every]).std()
    assert float(spread) == pytest.approx(sum(each.se for each in every) / 200, rel=0.15)


def test_lengths_are_in_characters():
    assert lengths(["", "ab", "naïve"]).tolist() == [0, 2, 5]


def test_a_tie_is_one_up_to_rounding():
    """The mean of seven preferences of 1/2 need not be 1/2."""
    near = torch.tensor([0.5 - 2**-53, 0.5 + 2**-52, 0.5001]).double()
    assert ties(near) == pytest.approx(2 / 3)
    assert position_bias(near[:2], 1 - near[:2]).changed == 0.0

"""What is printed as 95 % is 95 %: the simulations of benchmarks/coverage.py with fewer repeats. Of
3000 repeats at 95 % one standard error is 0.4 percentage points."""

import pytest

from benchmarks.coverage import (
    SEEDS,
    SPREADS,
    best,
    difference_at_prompts_like_these,
    equal_settings,
    like_prompts,
    like_prompts_by_seeds,
    one_evaluation,
    one_setting,
    rate,
    some_below,
    two_settings,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("noise", [0.05, 1.0])
def test_coverage_of_one_setting(seeds, noise):
    assert 0.93 <= rate(one_setting(seeds, noise), 3000) <= 0.97


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_coverage_of_a_difference(seeds, ratio):
    """A percentile bootstrap told two equal settings apart in 36 % (2 + 2) and 19 % (3 + 3)."""
    assert 0.03 <= rate(two_settings((seeds, seeds), ratio), 6000) <= 0.07


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_coverage_of_one_run_against_several(seeds):
    assert 0.03 <= rate(two_settings((1, seeds)), 3000) <= 0.07


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("seed_sd", [0.0, 0.1, 1.0])
def test_coverage_of_prompts_like_these(seeds, seed_sd):
    """Two seeds leave one degree of freedom: up to 98 %."""
    covered = rate(like_prompts(seeds, seed_sd), 3000)
    assert 0.93 <= covered <= (0.985 if seeds == 2 else 0.975)


@pytest.mark.parametrize("prompts, answers", [(64, 4), (256, 1)])
def test_coverage_of_one_evaluation(prompts, answers):
    """The standard error of the run itself, of these prompts, held the mean over all prompts in 62
    % at 64 prompts with 4 answers each."""
    assert 0.93 <= rate(one_evaluation(prompts, answers), 3000) <= 0.97


def test_coverage_of_these_prompts_is_of_another_truth():
    """Without any effect of seeds, 5 of them say little of other prompts."""
    assert rate(like_prompts_by_seeds(5, 0.0), 1000) < 0.80


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("seed_sd", [0.0, 0.5])
def test_coverage_of_a_difference_at_prompts_like_these(seeds, seed_sd):
    told = rate(difference_at_prompts_like_these(seeds, seed_sd), 2000)
    assert 0.01 <= told <= 0.07


@pytest.mark.parametrize("settings", [2, 3, 5, 8])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("spreads", SPREADS)
def test_best_of_k_equal_settings(settings, seeds, spreads):
    """At most 5 %, and one percentage point for the 1000 repeats; where one varies three times as
    much, Welch's t of two comes to 6 %."""
    bound = 0.06 if spreads == "equal" else 0.07
    if spreads == "one 30 times the others" and seeds == 2:
        bound = 0.10  # two runs tell too little of such a spread: 8 % in benchmarks/coverage.py
    assert rate(equal_settings(SPREADS[spreads](settings), seeds, best), 1000) <= bound


@pytest.mark.parametrize("settings", [3, 5, 8])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_best_of_k_leaves_equal_settings_in(settings, seeds):
    told = rate(equal_settings(SPREADS["equal"](settings), seeds, some_below), 1000)
    assert told <= 0.05 + 0.01

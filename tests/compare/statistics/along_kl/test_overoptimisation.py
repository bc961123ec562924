import math

import numpy as np
import pytest

from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.overoptimisation import Fit, fit, gain, gap_path, gold_gains
from rlhf.compare.statistics.settings import group

KLS = (0.25, 1.0, 2.0, 4.0, 9.0, 16.0, 25.0, 49.0)


def test_overopt_fit_forms_by_hand():
    assert gain("rl", 2.0, 0.5, 0.0) == 0.0
    assert gain("rl", 2.0, 0.5, 1.0) == 2.0  # log 1 = 0
    assert gain("rl", 2.0, 0.5, 4.0) == pytest.approx(2 * (2 - 0.5 * math.log(2)))
    assert gain("best_of_n", 2.0, 0.5, 4.0) == pytest.approx(2 * (2 - 0.5 * 2))


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_overopt_fit_recovers_known_parameters(form):
    found = fit([[(kl, gain(form, 1.4, 0.6, kl)) for kl in KLS]], form)
    assert (found.alpha, found.beta, found.r2) == pytest.approx((1.4, 0.6, 1.0))
    assert found.points == len(KLS) and found.furthest == 49.0 and not found.over_runs


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_overopt_fit_peak_is_where_the_gain_is_highest(form):
    found = fit([[(kl, gain(form, 1.0, 0.5, kl)) for kl in KLS]], form)
    grid = [i / 1000 for i in range(1, 10_000)]
    assert found.peak_kl == pytest.approx(max(grid, key=lambda kl: found.gain(kl)), abs=0.01)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        noise = draw.normal(0.0, 0.2, size=(12, len(KLS)))
        runs = [
            [(kl, gain("rl", 1.4, 0.6, kl) + e) for kl, e in zip(KLS, row, strict=True)]
            for row in noise
        ]
        held += fit(runs).alpha_interval[0] < 1.4 < fit(runs).alpha_interval[1]
    assert held >= 34  # 38 expected, a bootstrap over 12 runs a little less
    assert fit(runs).over_runs and not fit(runs[:2]).over_runs
    assert fit(runs) == fit(runs)


def test_too_little_says_so():
    assert "4 evaluations lie beyond 0.1 nats" in fit(
        [[(0.01, 0.0), (1, 1), (2, 1), (3, 1), (4, 1)]]
    )
    assert "too near together" in fit([[(4.0 + i / 10, 1.0) for i in range(8)]])
    assert "0 evaluations" in fit([])


def test_a_rising_line_has_no_peak():
    found = fit([[(kl, 2 * math.sqrt(kl)) for kl in KLS]])
    assert isinstance(found, Fit) and abs(found.beta) < 1e-9
    steeper = fit([[(kl, kl) for kl in KLS]])
    assert math.isnan(steeper.peak_kl)


def test_gap_and_gains_by_hand(gamed):
    """Gold goes 1, 2.3, 2.3, 2.3, 1.2 and proxy 0, 1.25, 2.5, 3.75, 5 at KL 0, 5, 10, 15, 20."""
    run = group(load(gamed))[0].runs[0]
    kls, gaps = zip(*gap_path(run), strict=True)
    assert kls == (0, 5, 10, 15, 20) and gaps == pytest.approx((0.0, -0.05, 1.2, 2.45, 4.8))
    kls, gains = zip(*gold_gains(run), strict=True)
    assert kls == (5, 10, 15, 20) and gains == pytest.approx((1.3, 1.3, 1.3, 0.2))

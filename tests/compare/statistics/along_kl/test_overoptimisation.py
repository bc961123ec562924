import math
import sys
from pathlib import Path

import numpy as np
import pytest

from rlhf.compare.read.curves import Kept
from rlhf.compare.read.runs import load
from rlhf.compare.statistics.along_kl.overoptimisation import (
    Fit,
    fit,
    gain,
    gap_path,
    gold_gains,
    gold_start,
)
from rlhf.compare.statistics.means import single
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
    assert found.points == len(KLS) and found.furthest == 49.0 and found.alpha_interval is None


@pytest.mark.parametrize("form", ["rl", "best_of_n"])
def test_overopt_fit_peak_is_where_the_gain_is_highest(form):
    found = fit([[(kl, gain(form, 1.0, 0.5, kl)) for kl in KLS]], form)
    grid = [i / 1000 for i in range(1, 10_000)]
    assert found.peak_kl == pytest.approx(max(grid, key=lambda kl: found.gain(kl)), abs=0.01)


def _runs(count, *, noise=0.2, shift=0.0):
    draw = np.random.default_rng(0)
    return [
        [(kl, gain("rl", 1.4, 0.6, kl) + shift + e) for kl, e in zip(KLS, row, strict=True)]
        for row in draw.normal(0.0, noise, size=(count, len(KLS)))
    ]


def test_fewer_than_four_runs_have_no_interval_and_no_peak():
    start = single(0.0, 0.05)
    for count in (1, 3):
        few = fit(_runs(count), start=start)
        assert (few.runs, few.alpha_interval, few.beta_interval, few.peak) == (count, *[None] * 3)
    four = fit(_runs(4), start=start)
    assert four.alpha_interval[0] < 1.4 < four.alpha_interval[1]
    assert fit(_runs(4), start=single(0.0, math.nan)).alpha_interval is None


def test_the_jackknife_by_hand():
    """Four runs of the same points without noise but an offset of their own: with the form d alone
    the estimates without one run are the others' means. Of four numbers the jackknife's variance is
    s^2 / 4; here every run moves alpha by its own part, and beta by none."""
    runs = [[(kl, gain("rl", 1.4 + part, 0.6, kl)) for kl in KLS] for part in (-1, -1, 1, 1)]
    found = fit(runs, start=single(0.0, 0.0))
    reach = 3.182446 * math.sqrt(4 / 3 / 4)  # t with 3 degrees of freedom, s^2 = 4/3
    assert found.alpha_interval == pytest.approx((1.4 - reach, 1.4 + reach), abs=1e-5)
    assert found.beta_interval == pytest.approx((0.6, 0.6), abs=1e-5)


def test_the_error_of_the_start_widens_every_interval():
    sure, unsure = (fit(_runs(8), start=single(0.0, se)) for se in (0.0, 0.3))
    for name in ("alpha_interval", "beta_interval", "peak_interval"):
        (a, b), (c, d) = getattr(sure, name), getattr(unsure, name)
        assert d - c > 1.5 * (b - a)


def test_a_peak_is_told_only_where_the_runs_tell_of_one():
    start = single(0.0, 0.01)
    found = fit(_runs(8), start=start)
    assert found.peak == found.peak_kl and found.peak_interval[0] < found.peak
    loose = fit(_runs(8, noise=6.0), start=start)
    assert loose.r2 < 0.5 and loose.peak is None
    near = [[(kl, y) for kl, y in run if kl < 5] for run in _runs(8, noise=0.01)]
    beyond = fit(near, start=start)
    assert beyond.peak_kl > beyond.furthest and beyond.peak is None
    rising = [[(kl, 2 * math.sqrt(kl) + 0.01 * i) for kl in KLS] for i in range(8)]
    assert fit(rising, start=start).peak is None


def test_the_start_is_what_is_known_best(gamed):
    runs = [run for s in group(load(gamed)) for run in s.runs]
    assert gold_start(runs, []) == single(1.0, 0.1)
    many = Kept(n=1, kl=0.0, rewards={"reward/gold": 1.1}, errors={"reward/gold": 0.02})
    assert gold_start(runs, [many]) == single(1.1, 0.02)
    few = Kept(n=1, kl=0.0, rewards={"reward/gold": 1.1}, errors={"reward/gold": 0.2})
    assert gold_start(runs, [few]) == single(1.0, 0.1)
    assert gold_gains(runs[0], 1.1)[0] == pytest.approx((5.0, 1.2))


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "seed_sd", "start_se"), [(5, 0.15, 0.08), (15, 0.15, 0.015)])
def test_overopt_fit_intervals_hold_the_truth(runs, seed_sd, start_se):
    """95 % of 300 sweeps, give or take three standard errors of that share."""
    folder = Path(__file__).parents[4] / "benchmarks"
    sys.path.insert(0, str(folder))
    import gao_fit

    sys.path.remove(str(folder))
    shares = gao_fit.coverage(runs, seed_sd, start_se, 300)
    assert all(0.91 < shares[name] < 0.99 for name in ("alpha", "beta")), shares


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

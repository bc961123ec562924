import math

import pytest

from rlhf.kl.grid import grid_of, iterations_at, most_iterations


def test_a_geometric_grid_has_four_digits_between_its_ends():
    # 0.5 (0.01 / 0.5)^(k / 8): the schedule
    assert grid_of(0.01, start=0.5, points=9) == (
        *(0.5, 0.3066, 0.188, 0.1153, 0.07071, 0.04336, 0.02659, 0.01631),
        0.01,
    )
    assert grid_of(0.123456, start=0.987654, points=3) == (0.987654, 0.3492, 0.123456)
    assert grid_of(0.5, start=2.0, points=2) == (2.0, 0.5)


def test_a_grid_may_rise_end_at_0_and_have_one_point():
    assert grid_of(0.4, grid=[0.1, 0.2, 0.4]) == (0.1, 0.2, 0.4)
    assert grid_of(0.0, grid=[1, 0.5, 0]) == (1.0, 0.5, 0.0)
    assert grid_of(0.3, grid=[0.3], start=0.1, points=7) == (0.3,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"grid": [0.2, 0.3, 0.1]}, "fall from each to the next"),
        ({"grid": [0.2, 0.2, 0.1]}, "fall from each to the next"),
        ({"grid": [0.4, 0.2]}, r"ends at 0.2, and kl.coef=0.1.*set kl.coef=0.2, or add 0.1"),
        ({"grid": []}, "grid is empty"),
        ({"grid": [math.inf, 0.1]}, "finite"),
        ({"start": 0.05, "points": 3}, "start=0.05 must be above kl.coef=0.1"),
        ({"start": 0.1, "points": 3}, "must be above"),
        ({"start": 0.5, "points": 1}, "at least 2 points"),
        ({"start": 0.10001, "points": 9}, "take fewer points"),
        ({"start": 0.5}, "a grid, or start and points"),
        ({"coef": 0.0, "start": 0.5, "points": 3}, "no geometric path ends at 0"),
        ({"coef": math.nan, "grid": [0.1]}, "coef must be"),
    ],
)
def test_what_is_no_path_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        grid_of(**{"coef": 0.1, **given})


def test_a_path_lasts_at_most_its_points_and_the_warm_up():
    assert most_iterations(9, 20, 5) == 185
    # 100, 70, 49 and 34.3
    assert [iterations_at(point, 100, 0.7) for point in range(4)] == [100, 70, 49, 34]
    assert most_iterations(4, 100, 5, 0.7) == 5 + 253
    assert iterations_at(50, 100, 0.5) == 1

import math

import pytest

from rlhf.kl.path import Path, change
from rlhf.kl.properties import controller_properties


def a_path(**given):
    settings = {"coef": 0.1, "grid": [0.4, 0.2, 0.1], "iterations": 6, "at_least": 2, "window": 2}
    return Path(**{**settings, "tolerance": 1.0, **given})


def hold(path, *kls, error=0.1):
    for kl in kls:
        path.begin()
        path.update(kl, 8, error=error, objective=1.0, objective_error=error)


@pytest.mark.parametrize(
    "given",
    [
        {"window": 3},
        {"window": 0},
        {"iterations": 0},
        {"at_least": 0},
        {"tolerance": -1},
        {"shrink": 0},
        {"shrink": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        a_path(**given)


def test_the_change_is_that_of_the_halves_with_its_error():
    # (6 + 8) / 2 - (1 + 3) / 2 = 5; sqrt(4 * 0.5^2) / 2 = 0.5
    assert change([1, 3, 6, 8], [0.5] * 4) == (5.0, 0.5)
    # sqrt(0.3^2 + 0.4^2) / 1
    assert change([2.0, 1.0], [0.3, 0.4]) == (-1.0, 0.5)


def test_a_point_ends_when_neither_kl_nor_objective_moved():
    path = a_path(window=2, at_least=3)
    hold(path, 1.0, 1.05)  # within sqrt(2) 0.1, and below the least number
    assert (path.point, path.held, path.ended) == (0, 2, None)
    hold(path, 2.0)
    assert path.ended is None
    assert path.record == {
        **{"path/point": 0, "path/held": 3, "path/kl_change": pytest.approx(0.95)},
        "path/kl_change_se": pytest.approx(0.1 * math.sqrt(2)),
        **{"path/objective_change": 0.0, "path/objective_change_se": pytest.approx(0.1 * 2**0.5)},
    }
    hold(path, 2.1)
    assert (path.point, path.held, path.ended, path.coef) == (1, 0, 0, 0.4)
    assert path.record["path/held"] == 4
    assert path.begin()
    assert path.coef == 0.2
    # the window begins anew: the next rollout alone is no window
    hold(path, 2.1)
    assert path.ended is None
    assert not path.begin()


def test_the_objective_alone_holds_a_point():
    path = a_path()
    for objective in (0.0, 0.3):  # 0.3 > sqrt(2) 0.1
        path.update(1.0, 8, error=0.1, objective=objective, objective_error=0.1)
    assert path.ended is None
    path.update(1.0, 8, error=0.1, objective=0.44, objective_error=0.1)  # 0.14 < 0.1414
    assert path.ended == 0


def test_numbers_that_are_not_finite_never_settle_a_point():
    path = a_path(iterations=4)
    hold(path, math.nan, math.nan, 1.0, error=math.nan)
    assert (path.ended, path.held) == (None, 3)
    assert path.record == {"path/point": 0, "path/held": 3}
    hold(path, 1.0, error=math.nan)
    assert path.ended == 0  # by the most iterations


def test_without_tolerance_each_point_is_held_to_the_last():
    path = a_path(tolerance=0.0, iterations=3)
    ends = []
    for _ in range(9):
        assert not path.done
        hold(path, 1.0, error=0.0)
        ends.append(path.ended)
    assert ends == [None, None, 0, None, None, 1, None, None, 2]
    assert path.done
    assert (path.point, path.coef, path.begin()) == (2, 0.1, False)
    with pytest.raises(ValueError, match="has ended"):
        hold(path, 1.0)


def test_each_point_may_be_shorter_than_the_one_before():
    """4, 4 * 0.6 = 2.4 and 4 * 0.36 = 1.44 iterations, rounded."""
    path, most, ends = a_path(tolerance=0.0, iterations=4, shrink=0.6), [], []
    while not path.done:
        most.append(path.most)
        hold(path, 1.0)
        ends.append(path.ended)
    assert most == [4] * 4 + [2] * 2 + [1]
    assert ends == [None, None, None, 0, None, 1, 2]


def test_what_never_moves_is_settled_without_an_error():
    path = a_path()
    hold(path, 0.0, 0.0, error=0.0)
    assert path.ended == 0


def test_a_kl_per_token_is_refused():
    with pytest.raises(ValueError, match="per sequence"):
        a_path().update(1.0, 8, unit="token")


@pytest.mark.parametrize("stop", range(10))
def test_its_state_goes_on_wherever_it_stopped(stop):
    kls = [1.0, 1.3, 1.32, 2.0, 2.5, 2.51, 4.0, 4.6, 4.61]
    whole, cut = a_path(), a_path()
    hold(cut, *kls[:stop])
    other = a_path()
    other.load_state_dict(cut.state_dict())
    assert (other.coef, other.point, other.ended) == (cut.coef, cut.point, cut.ended)
    assert other.state_dict() == cut.state_dict()
    hold(whole, *kls)
    hold(other, *kls[stop:])
    assert other.state_dict() == whole.state_dict()
    assert whole.done


def test_a_path_cut_short_has_the_state_of_the_longer_one():
    long, short = a_path(), a_path(coef=0.4, grid=[0.4])
    for path in (long, short):
        hold(path, 1.0, 1.0)
    assert (long.ended, short.ended) == (0, 0)
    assert long.coef == short.coef == 0.4
    assert short.done
    assert not long.done
    assert long.state_dict() == short.state_dict()
    longer = a_path()
    longer.load_state_dict(short.state_dict())
    assert (longer.point, longer.ended, longer.begin(), longer.coef) == (1, 0, True, 0.2)


def test_the_state_of_another_kind_or_a_longer_path_is_refused():
    with pytest.raises(ValueError, match="passed, held, measured"):
        a_path().load_state_dict({"coef": 0.1})
    with pytest.raises(ValueError, match="gone through 2 points, and this one has 1"):
        a_path(grid=[0.1]).load_state_dict({"passed": 2, "held": 0, "measured": []})


def test_a_path_walks():
    properties = controller_properties(Path)
    assert properties.walks
    assert not properties.follows_kl
    assert not properties.constant

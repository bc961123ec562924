"""What a policy is held against, of the frontiers' benchmark."""

import math
from pathlib import Path

import pytest

from benchmarks.frontier.__main__ import parser
from benchmarks.frontier.exact import COEFS, WAYS, folder_of, title_of
from benchmarks.frontier.matched import difference, reward_at
from rlhf.config.compose import compose, validate
from rlhf.config.properties import most_iterations


def test_between_two_points_a_reward_is_linear_in_the_root_of_kl():
    """From (0, 0) over (4, 2) to (9, 3): at 1 nat half of 2, at 6.25 halfway from 2 to 3."""
    curve = [(4.0, 2.0), (0.0, 0.0), (9.0, 3.0)]
    assert reward_at(curve, 1.0) == pytest.approx(1.0)
    assert reward_at(curve, 6.25) == pytest.approx(2.5)
    assert reward_at(curve, 4.0) == pytest.approx(2.0)
    assert reward_at(curve, 9.5) is None


def test_a_difference_over_seeds_has_a_t_interval():
    """Of 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.303: 4.303 / sqrt(3) = 2.484."""
    three = difference([1.0, 2.0, 3.0])
    assert three.mean == 2 and three.half == pytest.approx(2.484, abs=1e-3)
    assert three.holds_zero and str(three) == "+2.00 ± 2.48"
    assert not difference([1.9, 2.0, 2.1]).holds_zero
    one = difference([0.5])
    assert math.isinf(one.half) and one.holds_zero and str(one) == "+0.50"
    assert difference([]) is None


def test_what_ran_with_other_overrides_is_not_read_and_the_table_names_them():
    words = ["ppo.optimizer.lr=1e-3", "kl/controller=path"]
    place = folder_of(Path("here"), "0x4", words)
    assert place == Path("here/exact/0x4 ppo.optimizer.lr=1e-3_kl_controller=path")
    assert folder_of(Path("here"), "0x4", []) == Path("here/exact/0x4")
    assert title_of("0x4", words) == f"0x4, every way with {words[0]} {words[1]}"
    assert title_of("0x4", []) == "0x4"


def test_a_path_that_shortens_has_a_third_of_the_iterations():
    """8 * 120 / 3 = 320: 5 of the critic alone, then 100, 70, 49, 34, 24, 17, 12 and 8."""

    def most(words):
        return most_iterations(validate(compose(["experiment=oracle", *words])))

    assert most([]) * len(COEFS) == 960
    assert most(WAYS["path that shortens"]) == 5 + 314
    assert most(WAYS["path"]) == 325


def test_ways_are_chosen_and_overrides_follow():
    chosen = parser().parse_args(["exact", "a=1", "--ways", "path", "path that shortens"])
    assert chosen.ways == ["path", "path that shortens"] and chosen.words == ["a=1"]
    assert parser().parse_args(["exact"]).ways == [*WAYS]

"""A KL path's points are settings by their coefficient, and one way where a way is read."""

import json

import pytest

from rlhf.compare.read.differing import differing
from rlhf.compare.read.runs import gather
from rlhf.compare.statistics.estimates import pooled, seed_error
from rlhf.compare.statistics.paths import independent, way_names, ways
from rlhf.compare.statistics.rivals import rival
from rlhf.compare.statistics.settings import group
from rlhf.compare.statistics.study import study
from tests.compare.made import make_path

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5), 0.01: (8.0, 3.0, 1.2)}


def _more(ends, by):
    return {coef: (kl + by, proxy + by, gold + by) for coef, (kl, proxy, gold) in ends.items()}


@pytest.fixture
def beside(rundirs, tmp_path):
    """Two seeds of a path of three points, and two of a fixed coefficient."""
    for seed in (0, 1):
        make_path(rundirs, tmp_path / f"p{seed}", _more(ENDS, 0.2 * seed), seed=seed)
        rundirs.make_run(
            tmp_path / f"f{seed}", coef=0.1, seed=seed, kl=4.2, gold=1.4, iterations=40
        )
    return tmp_path


def test_settings_are_by_coefficient_and_not_by_grid(beside):
    settings = group(gather([beside]))
    assert [s.label for s in settings] == [
        "kl.controller=fixed kl.coef=0.1",
        *(f"kl.controller=path kl.coef={coef}" for coef in (0.01, 0.1, 0.5)),
    ]
    assert all(len(s.runs) == 2 for s in settings)
    gold = settings[2]["reward/gold"]
    assert (gold.mean, gold.n) == (pytest.approx(1.6), 2)  # of 1.5 and 1.7
    assert settings[2]["iterations"].mean == 6 and settings[2]["cpu_seconds"].mean == 20.0


def test_a_path_alone_differs_in_its_coefficient_alone(rundirs, tmp_path):
    make_path(rundirs, tmp_path / "p", ENDS)
    runs = gather([tmp_path])
    assert list(differing(runs)) == ["kl.coef"]
    (way,) = ways(group(runs))
    assert (way.label, [run.name for run in way.runs]) == ("path", ["p"])


def test_two_ways_to_one_coefficient_are_two_settings(rundirs, tmp_path):
    """Downwards and upwards to 0.1: hysteresis is there to be seen."""
    make_path(rundirs, tmp_path / "down", {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5)})
    make_path(rundirs, tmp_path / "up", {0.01: (9.0, 3.0, 1.2), 0.1: (5.0, 2.2, 1.3)})
    table = differing(gather([tmp_path]))
    assert list(table) == ["kl.coef", "kl.controller.grid"]
    labels = {s.label for s in group(gather([tmp_path]))}
    assert "kl.coef=0.1 kl.controller.grid=[0.5, 0.1]" in labels and len(labels) == 4


def test_iterations_of_a_path_are_no_difference_but_between_paths(rundirs, tmp_path):
    """ppo.iterations is 3 at each point of a path, and 40 of the runs beside it."""
    make_path(rundirs, tmp_path / "p", ENDS)
    rundirs.make_run(tmp_path / "f", coef=0.1, iterations=40)
    assert list(differing(gather([tmp_path]))) == ["kl.controller", "kl.coef"]
    rundirs.make_run(tmp_path / "g", coef=0.1, iterations=50)
    assert "ppo.iterations" in differing(gather([tmp_path]))


def test_a_path_is_one_row_at_matched_kl(beside):
    """The path passes 4 nats once, and not once for each point behind it."""
    whole = study(beside, gather([beside]))
    labels = [label for label, _ in whole.matched[1].rows]
    assert labels == ["kl.controller=fixed kl.coef=0.1", "kl.controller=path"]
    cells = dict(whole.matched[1].rows)["kl.controller=path"]
    assert [cell.reached for cell in cells] == [2, 2, 2, 0]  # 8 nats at the end
    assert len(whole.members) == 8 and len(whole.ways) == len(whole.steering) == 4
    assert {run.name for _, run in whole.ways} == {"f0", "f1", "p0", "p1"}
    assert [[run.summary["kl.coef"] for run in way] for way in whole.paths] == [
        [0.5, 0.1, 0.01]
    ] * 2
    assert [run.name for _, run in independent(whole.members)] == ["f0", "f1", "p0", "p1"]


def test_the_rival_of_a_point_is_no_point_of_its_own_path(beside):
    settings = group(gather([beside]))
    point = settings[2]
    other = rival(point, settings, "reward/gold")
    assert other is not None and other.setting.label == "kl.controller=fixed kl.coef=0.1"
    assert way_names(settings)[point.label] == "kl.controller=path"
    from_outside = rival(settings[0], settings, "reward/gold")
    assert from_outside is not None and from_outside.setting.label == "kl.controller=path"


def test_paths_count_once_in_a_pooled_spread_by_hand():
    """Sums of squares 2 and 8 at two points of one path: 5 with 1 degree of freedom; 2 of another
    setting. (5 + 2) / 2 = 3.5, where three settings apart would give 12 / 3."""
    samples, kin = [[0.0, 2.0], [0.0, 4.0], [1.0, 3.0]], ["path", "path", "other"]
    assert pooled(samples).variance == pytest.approx(4.0)
    once = pooled(samples, kin)
    assert (once.variance, once.df) == (pytest.approx(3.5), 2)
    # of two settings among three: not less than their own, (2 + 8) / 2 = 5
    spread = seed_error(samples[0], samples[1], samples, kin)
    assert (spread.variance, spread.df) == (pytest.approx(5.0), 2)


def test_time_together_counts_a_path_once(beside):
    from rlhf.compare.text.answer import answer

    assert "The 4 runs took 50 s together." in answer(study(beside, gather([beside]))).cost


def test_what_two_paths_have_in_common_is_one(rundirs, tmp_path):
    """Seed 0 has a coarse path, given by its ends; seed 1 one with a point more after 0.1."""
    first = make_path(rundirs, tmp_path / "coarse", ENDS)
    ends = {0.5: (1.2, 1.0, 1.3), 0.1: (4.0, 2.0, 1.5), 0.03: (6.0, 2.4, 1.4)}
    make_path(rundirs, tmp_path / "finer", ends, seed=1)
    config = json.loads((first[-1] / "config.yaml").read_text())
    walk = {**config["kl"]["controller"], "grid": None, "start": 0.5, "points": 3}
    rundirs.write(first[-1] / "config.yaml", {**config, "kl": {"coef": 0.02, "controller": walk}})
    runs = gather([tmp_path])
    assert list(differing(runs)) == ["kl.coef"]
    (last,) = (run for run in runs if run.name == "coarse")
    assert last.config["kl.controller.grid"] == [0.5, 0.1, 0.02]
    assert [len(s.runs) for s in group(runs)] == [1, 1, 2, 2]


def test_paths_up_and_down_are_two_ways(rundirs, tmp_path):
    make_path(rundirs, tmp_path / "down", {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5)})
    make_path(rundirs, tmp_path / "up", {0.01: (9.0, 3.0, 1.2), 0.1: (5.0, 2.2, 1.3)})
    labels = {way.label for way in ways(group(gather([tmp_path])))}
    assert labels == {"kl.controller.grid=[0.5, 0.1]", "kl.controller.grid=[0.01, 0.1]"}

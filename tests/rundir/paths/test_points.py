"""Where a path's points lie, and which folders of that name are none of a path's."""

import pytest

from rlhf.rundir.files import write_json
from rlhf.rundir.paths.points import path_of, points_of


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "outputs" / "points" / "kl0.1-path-seed0-aaaaaaaa"
    directory.mkdir(parents=True)
    write_json(directory / "manifest.json", {})
    return directory


def test_a_point_lies_below_its_paths_run(run):
    assert path_of(run / "points" / "kl0.4-path-seed0-bbbbbbbb") == run


def test_a_run_of_a_study_or_sweep_that_is_called_points_is_none(run):
    assert path_of(run) is None


def test_points_are_in_the_order_of_the_path_without_one_that_was_set_aside(run):
    for name, point, own in (("a", 1, "a"), ("b", 0, "b"), ("b.damaged", 0, "b")):
        place = run / "points" / name
        place.mkdir(parents=True)
        path = {"run": run.name, "point": point, "points": 3}
        write_json(place / "summary.json", {"name": own, "path": path})
    assert [place.name for place in points_of(run)] == ["b", "a"]

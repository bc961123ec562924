import math

import pytest

from rlhf.compare.choice.refine import refinement
from tests.compare.made import make_path

ENDS = {0.5: (1.0, 1.0, 1.1), 0.1: (4.0, 2.0, 1.5), 0.01: (16.0, 3.0, 1.2)}


@pytest.fixture
def path(rundirs, tmp_path, there):
    make_path(rundirs, tmp_path / "p", ENDS)
    overrides = ["experiment=reviews", "seed=3", "kl/controller=path", "kl.controller.points=3"]
    held = ["kl.controller.window=4", "+kl.controller.grid=[0.5,0.1,0.01]", "kl.controller.start=1"]
    jobs = [{"name": "p", "overrides": [*overrides, *held, "kl.coef=0.01"]}]
    rundirs.write(tmp_path / "sweep.json", {"overrides": overrides, "jobs": jobs})
    whole, every = there(tmp_path)
    return whole, {c.setting.values["kl.coef"]: c for c in every}


def test_a_coefficient_between_for_a_kl_between(path):
    """8 nats is half of the way from 4 to 16 in logarithms: sqrt(0.1 * 0.01) = 0.03162."""
    whole, points = path
    new = refinement(points[0.1], whole.paths, 8.0)
    assert (new.low, new.high, new.coef) == (4.0, 16.0, 0.03162)
    assert new.whole and new.command == (
        "rlhf experiment=reviews seed=3 kl.controller.window=4 kl/controller=path kl.coef=0.03162"
        " 'kl.controller.grid=[0.5,0.1,0.03162]'"
    )


def test_after_the_chosen_point_where_no_kl_was_asked_for(path):
    whole, points = path
    new = refinement(points[0.5], whole.paths)
    assert (new.low, new.high, new.coef) == (1.0, 4.0, float(f"{math.sqrt(0.05):.4g}"))
    assert "'kl.controller.grid=[0.5,0.2236]'" in new.command
    assert refinement(points[0.01], whole.paths) is None  # nothing is after the last


def test_a_job_of_a_sweep_that_is_named_alone_has_its_command_too(path, tmp_path, there):
    whole, every = there(tmp_path / "p")
    point = next(c for c in every if c.setting.runs[0].config["kl.coef"] == 0.1)
    assert refinement(point, whole.paths, 8.0) == refinement(path[1][0.1], path[0].paths, 8.0)


def test_nothing_to_refine_where_something_is_near(path):
    whole, points = path
    assert refinement(points[0.1], whole.paths, 4.2) is None  # within a tenth
    assert refinement(points[0.01], whole.paths, 40.0) is None  # beyond the path
    assert refinement(points[0.5], [], 8.0) is None


def test_a_path_that_is_no_job_of_a_sweep_did_not_keep_its_command(rundirs, tmp_path, there):
    make_path(rundirs, tmp_path / "p", {0.5: (1.0, 1.0, 1.1), 0.0: (4.0, 2.0, 1.5)})
    whole, every = there(tmp_path)
    new = refinement(every[0], whole.paths)
    assert not new.whole and new.coef == 0.25  # between 0.5 and 0 there is no geometric mean
    assert new.command.startswith("rlhf kl/controller=path kl.coef=0.25 ")

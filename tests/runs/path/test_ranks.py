"""A path on two processes: rank 0 writes its points, the other waits for it."""

import math

import pytest

from rlhf.config.validate import ConfigError
from rlhf.rundir import noted
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from tests.runs.path.conftest import GRID
from tests.runs.path.test_points import bytes_of

TWO = ["trainer.strategy=ddp", "trainer.devices=2"]
STEADY = "kl.controller.tolerance=0"


@pytest.mark.slow
def test_points_of_two_processes_are_those_of_the_path_cut_short(at):
    directory, summary = at("two", GRID[:2], *TWO, STEADY)
    alone, _ = at("alone", GRID[:1], *TWO, STEADY)
    (point,) = points_of(directory)
    assert bytes_of(point) == bytes_of(alone) and noted.is_complete(point)
    one, _ = at("one", GRID[:2], STEADY)
    ours, theirs = (read_json(points_of(place)[0] / "summary.json") for place in (directory, one))
    assert ours["path"] == {**theirs["path"], "run": directory.name}
    assert math.isclose(ours["reward/proxy"], theirs["reward/proxy"], abs_tol=1e-3)
    cpu = [row["cpu"] for row in read_jsonl(directory / "timings.jsonl")]
    assert len(cpu) == summary["iterations"] + 1 and min(cpu) > 0


def test_models_in_parts_are_refused():
    from rlhf.config.compose import compose, validate

    parts = ["trainer=fsdp", "kl/controller=path", "kl.coef=0.1"]
    with pytest.raises(ConfigError, match="trainer.strategy=ddp has them whole"):
        validate(compose(parts))

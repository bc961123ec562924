"""A path of three points on the quickstart's data, two or three iterations each."""

import pytest

from tests.conftest import SMALL

WALK = ["kl/controller=path", "kl.controller.at_least=1", "kl.controller.window=2"]
WALK += ["ppo.iterations=3", "evaluation.every=2"]
GRID = (0.5, 0.2, 0.1)


def words(grid):
    """The overrides of the path with this grid."""
    return [*WALK, f"kl.coef={grid[-1]}", f"kl.controller.grid=[{','.join(map(str, grid))}]"]


@pytest.fixture
def at(artifacts, tmp_path):
    """at(folder, grid, *overrides) -> (directory, summary): a path where its name puts it."""

    def go(folder, grid, *overrides):
        from rlhf.config.compose import compose, validate
        from rlhf.runs.execute import directory_of
        from rlhf.runs.run import run

        places = [f"paths.artifacts={artifacts}", f"paths.outputs={tmp_path / folder}"]
        cfg = validate(compose([*SMALL, *words(grid), *places, *overrides]))
        directory = directory_of(cfg)
        return directory, run(cfg, directory=directory)

    return go

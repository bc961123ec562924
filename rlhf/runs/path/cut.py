"""The config of a path that ends earlier, which is that of a point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf.config.naming import run_name
from rlhf.config.schema import Config
from rlhf.config.validate import validate
from rlhf.rundir.paths.points import FOLDER


def cut(cfg: Config, grid: tuple[float, ...], directory: Path, point: int) -> Config:
    """The config of a point of the path in a directory: the path of its grid up to there.

    It is named as any run of that config is.
    """
    plain = cfg.plain()
    kl: dict[str, Any] = plain["kl"]
    controller = {**kl["controller"], "grid": list(grid[: point + 1])}
    plain["kl"] = {**kl, "coef": grid[point], "controller": controller}
    name = run_name(plain)
    paths = {"run_name": name, "run_dir": str(directory / FOLDER / name)}
    return validate({**plain, "paths": {**plain["paths"], **paths}, "rerun": False})

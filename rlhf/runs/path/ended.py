"""The points of a path that has ended, where they are not what they were."""

from __future__ import annotations

import logging
from pathlib import Path

from rlhf.config.schema import Config
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.status import is_finished
from rlhf.runs import finished
from rlhf.runs.path.cut import cut

log = logging.getLogger(__name__)


def make_points_whole(cfg: Config, grid: tuple[float, ...], directory: Path) -> None:
    """Puts back what points have lost, as of any finished run. A point that is gone, or cannot be
    mended, is named: it takes nothing from the others, nor from the path's run."""
    for point in range(len(grid) - 1):
        place = Path(cut(cfg, grid, directory, point).paths.run_dir)
        if not is_finished(place):
            log.warning(
                "%s, point %d of the path, is gone. kl.coef=%g kl.controller.grid=[%s] makes it"
                " again, as a run of its own",
                *(place, point, grid[point], ",".join(f"{each:g}" for each in grid[: point + 1])),
            )
            continue
        try:
            finished.make_whole(place)
        except RunFailed as error:
            log.warning("%s", error)

"""A path that begins as another one did goes on from where the last point of that ended which both
have: with the same numbers as from the beginning, as nothing of a point depends on later ones."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rlhf.callbacks.checkpoint import Start, checkpoint_path, choose
from rlhf.config.naming import HASH_VERSION, path_grid
from rlhf.rundir import noted
from rlhf.rundir.disk.folder import link, whole_folder
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_text
from rlhf.rundir.paths.points import path_of, points_of
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished
from rlhf.runs import longer
from rlhf.runs.path.cut import cut
from rlhf.runs.path.write import elsewhere, keep_state, manifest_of, point_facts
from rlhf.runs.summary import run_facts
from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)

# what two paths may differ in, of which one begins as the other
GRID = ("kl.coef", "kl.controller.grid")
OWN = ("tracking.*", "system.jsonl", ".*", "log.txt", noted.CONFIG, noted.MANIFEST, noted.SUMMARY)


@dataclass(frozen=True, kw_only=True)
class Common:
    """A point, or a path that has ended, and the state that it ended with. `points`: how many of
    the new path it has."""

    directory: Path
    points: int
    start: Start


def take_over(context: StageContext, grid: tuple[float, ...], parents: Mapping[str, str]) -> None:
    """Gives a path that has nothing yet the state, and the points until there, of the one beside it
    that has most of its points. That is left as it is.

    Args:
        parents: the fingerprints of the stages that the run stands on.
    """
    directory, cfg = context.run_directory, context.cfg
    if longer.has_begun(directory) or cfg.rerun or not cfg.checkpoints.take_over:
        return
    prints = {"data": context.data.fingerprint, **parents}
    alike = beginning_alike(directory, context.plain, grid, prints)
    for place, points in sorted(alike.items(), key=lambda item: -item[1]):
        if (common := _state_of(place, points)) is None:
            continue
        _copy_points(context, grid, common)
        try:
            longer.copy_state(
                longer.Source(directory=place, start=common.start), directory, evaluated=True
            )
        except FileNotFoundError:  # somebody has removed it since
            continue
        log.warning(
            "goes on from iteration %d of %s, which has the first %d of its %d points: its numbers"
            " are those of a path from the beginning (which checkpoints.take_over=false makes)",
            *(common.start.iteration, place, points, len(grid)),
        )
        return


def beginning_alike(
    directory: Path, plain: Mapping[str, Any], grid: tuple[float, ...], prints: Mapping[str, str]
) -> dict[Path, int]:
    """Of the paths beside this one that have its config, data and stages, the points, and the ends,
    whose whole grid this one begins with; each with the length of that."""
    mine = _rest(plain)
    alike = {}
    for place in _ended(directory):
        manifest = read_json(place / noted.MANIFEST)
        config = manifest.get("config")
        if not isinstance(config, dict) or manifest.get("hash_version") != HASH_VERSION:
            continue
        if manifest.get("fingerprints") != prints or _rest(config) != mine:
            continue
        theirs = path_grid(config["kl"])
        if theirs is not None and len(theirs) < len(grid) and theirs == grid[: len(theirs)]:
            alike[place] = len(theirs)
    return alike


def _ended(directory: Path) -> Iterator[Path]:
    for manifest in sorted(directory.parent.glob(f"*/{noted.MANIFEST}")):
        run = manifest.parent
        if run != directory:
            yield from points_of(run)
            if is_finished(run):
                yield run


def _rest(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in longer.settings(plain).items() if key not in GRID}


def _state_of(place: Path, points: int) -> Common | None:
    """The state that a point ended with; where it is not kept, it is said that it is not."""
    reason = "it keeps no checkpoint of its end (checkpoints.after_finish=last keeps one)"
    try:
        start = choose(place)
        ended = read_json(place / noted.SUMMARY).get("iterations")
        if start.path is not None and start.iteration == ended:
            return Common(directory=place, points=points, start=start)
    except RunFailed as error:
        reason = str(error)
    log.warning("%s, which begins as this path does, is not gone on with: %s", place, reason)
    return None


def _copy_points(context: StageContext, grid: tuple[float, ...], common: Common) -> None:
    """The points before the one whose state is taken over. (That one is written from its state.)"""
    directory = context.run_directory
    run = path_of(common.directory) or common.directory
    there = {place.name: place for place in points_of(run)}
    for point in range(common.points - 1):
        cfg = cut(context.cfg, grid, directory, point)
        target = Path(cfg.paths.run_dir)
        if target.exists():
            continue
        place = there.get(target.name)
        if place is None or noted.losses(place):
            log.warning(
                "%s has no whole point %d: this path is without it (%s run by itself makes it)",
                *(run, point, target.name),
            )
            continue
        with whole_folder(target) as work:
            _copy(place, work, elsewhere(context, cfg, work), point_facts(directory, grid, point))


def _copy(place: Path, work: Path, here: StageContext, facts: dict[str, Any]) -> None:
    """The point of another path as one of this path's."""
    summary = read_json(place / noted.SUMMARY)
    ignore = shutil.ignore_patterns(*OWN, "checkpoints")
    shutil.copytree(place, work, ignore=ignore, copy_function=_copied, dirs_exist_ok=True)
    end, wish = summary["iterations"], here.cfg.checkpoints.after_finish
    if wish != "none" and checkpoint_path(place, end).exists():
        with suppress(FileNotFoundError):  # `rlhf clean` removes it at this moment
            keep_state(place, work, end)
    write_text(work / noted.CONFIG, OmegaConf.to_yaml(here.written))
    noted.write_manifest(work / noted.MANIFEST, manifest_of(place, here))
    noted.conclude(work, {**summary, **run_facts(here), "path": facts})


def _copied(source: str, target: str) -> None:
    large = Path(source).suffix in (".safetensors", ".ckpt")
    (link if large else shutil.copy2)(Path(source), Path(target))

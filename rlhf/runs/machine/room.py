"""Whether a run's disk has room for it, before it trains."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.properties import needed_stages, trains_values
from rlhf.config.stages import STAGES
from rlhf.rundir.disk.space import DiskError, amount, existing

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)

WEIGHT = 4  # bytes: what is trained has 32 bits
ADAM = 3  # times the weights: they and two moments
CHECKPOINTS = 3  # two are kept while the next one is written


def check_room(context: StageContext, missing: Collection[str]) -> None:
    """Compares what the run will write with what is free. Warns where optimizers like Adam would
    need more.

    Args:
        missing: the stages that will be trained.

    Raises:
        DiskError: not even the weights have room.
    """
    size = weights_size(context)
    if size is None:
        return
    stages = [stage.name for stage in needed_stages(context.cfg) if stage.name in missing]
    needs = [
        *_by_disk(context, stages, size, 1, 1),
        *_by_disk(context, stages, size, ADAM, CHECKPOINTS),
    ]
    for number, (place, need) in enumerate(needs):
        free = shutil.disk_usage(place).free
        if need <= free:
            continue
        words = (
            f"{place}: {amount(free)} are free, and the run ({', '.join(stages)}, of a model with"
            f" {amount(size)} of weights) will write"
        )
        if number < len(needs) // 2:
            raise DiskError(
                f"{words} at least {amount(need)}: make room, or choose a folder on another disk"
                " with paths.outputs=<folder>. Nothing was trained"
            )
        log.warning(
            "%s up to %s at a time with its checkpoints: it may fill up", words, amount(need)
        )


def weights_size(context: StageContext) -> int | None:
    """The bytes of the policy's weights, by its configuration; None where a piece of the user's own
    makes or saves it."""
    from rlhf.models.load import ModelPiece, parameter_count

    if context.model_config is None or type(context.model).save is not ModelPiece.save:
        return None
    count = parameter_count(context.model_config)
    return None if count is None else WEIGHT * count


def _by_disk(
    context: StageContext, stages: Iterable[str], size: int, state: int, checkpoints: int
) -> Iterator[tuple[Path, int]]:
    """For each disk a folder on it that is there, and the most bytes that are there at one time:
    every stage leaves its weights, and has its checkpoints, of `state` times what is trained,
    beside them while it is trained."""
    cfg, most, left = context.cfg, dict[Path, int](), dict[Path, int]()
    for name in stages:
        home = context.run_directory if STAGES[name].is_run else Path(cfg.paths.artifacts)
        models = 1 + (STAGES[name].is_run and trains_values(cfg.algorithm, cfg.advantage))
        disk = _disk(home, [*most])
        # an ensemble's reward models stay side by side
        copies = max(1, ensemble_members(cfg.scorer)) if name == "reward_model" else 1
        left[disk] = left.get(disk, 0) + copies * size
        need = left[disk] + checkpoints * state * models * size - _held(home, name)
        most[disk] = max(most.get(disk, 0), need)
    yield from most.items()


def _disk(folder: Path, known: Iterable[Path]) -> Path:
    """The folder, or the nearest above that is there; of folders on one disk the first."""
    place = existing(folder)
    return next((k for k in known if k.stat().st_dev == place.stat().st_dev), place)


def _held(home: Path, stage: str) -> int:
    """The bytes of the checkpoints that a run that was cut has already."""
    pattern = "checkpoints/*" if STAGES[stage].is_run else f"{stage}/*.work/checkpoints/*"
    size = 0
    for path in home.glob(pattern):
        with suppress(FileNotFoundError):  # a run that is at work removes its older ones
            size += path.stat().st_size
    return size

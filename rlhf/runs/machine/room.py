"""Whether a run's disk has room for it, before it trains."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.config.pieces.scorer import ensemble_members
from rlhf.config.pieces.trained import ADAPTER
from rlhf.config.properties import needed_stages, path_grid, trains_values
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.estimates.adapters import size_of_adapter
from rlhf.estimates.shape import shape_of
from rlhf.rundir.disk.space import DiskError, amount, existing

if TYPE_CHECKING:
    from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)

WEIGHT = 4  # bytes: what is trained has 32 bits
ADAM = 3  # times the weights: they and two moments
CHECKPOINTS = 3  # two are kept while the next one is written


@dataclass(frozen=True, kw_only=True)
class DiskNeed:
    """What stages will write to one disk, in bytes."""

    place: Path  # a folder on it that is there
    free: int
    least: int  # their weights, and one checkpoint that holds no more than them
    most: int  # at one time, with checkpoints of optimizers like Adam


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
    needs = disk_needs(
        *(context.cfg, context.run_directory, stages, size), adapter=_adapter_size(context)
    )
    for fault in filter(None, (disk_fault(need, stages, size) for need in needs)):
        raise DiskError(f"{fault}. Nothing was trained")
    for need in needs:
        if need.most > need.free:
            log.warning(
                "%s up to %s at a time with its checkpoints: it may fill up",
                _start(need, stages, size),
                amount(need.most),
            )


def disk_fault(need: DiskNeed, stages: Sequence[str], size: int) -> str | None:
    """Why a disk has no room for stages of a model with `size` bytes of weights."""
    if need.least <= need.free:
        return None
    return (
        f"{_start(need, stages, size)} at least {amount(need.least)}: make room, or choose a folder"
        " on another disk with paths.outputs=<folder>"
    )


def _start(need: DiskNeed, stages: Sequence[str], size: int) -> str:
    return (
        f"{need.place}: {amount(need.free)} are free, and the run ({', '.join(stages)}, of a model"
        f" with {amount(size)} of weights) will write"
    )


def disk_needs(
    cfg: Config, directory: Path, stages: Sequence[str], size: int, *, adapter: int = 0
) -> list[DiskNeed]:
    """What stages write, by disk.

    Args:
        directory: the run's own.
        size: bytes of the policy's weights.
        adapter: bytes of an adapter beside them, which is all that is kept where it is trained.
    """
    sizes = {stage: kept(cfg, stage, size, adapter) for stage in stages}
    homes = {s: directory if STAGES[s].is_run else Path(cfg.paths.artifacts) for s in stages}
    disks = _disks(homes)  # once: another run may make a folder at any time
    least = _by_disk(cfg, homes, disks, sizes, 1, 1)
    most = _by_disk(cfg, homes, disks, sizes, ADAM, CHECKPOINTS)
    return [
        DiskNeed(place=place, free=shutil.disk_usage(place).free, least=need, most=most[place])
        for place, need in least.items()
    ]


def kept(cfg: Config, stage: str, size: int, adapter: int) -> int:
    """Bytes of what a stage leaves."""
    if STAGES[stage].is_run:
        return adapter if cfg.adapter.is_used else size
    part = getattr(cfg, stage).trained
    if part == "head" and cfg.adapter.kind == "head":
        return 0
    return adapter if part == ADAPTER else size


def _adapter_size(context: StageContext) -> int:
    """Bytes of an adapter of the run; 0 where there is none, or the model's shape is not known."""
    if not context.cfg.adapter.is_used or context.model_config is None:
        return 0
    shape = shape_of(context.model_config.to_dict())
    return 0 if shape is None else WEIGHT * size_of_adapter(shape, context.cfg)


def weights_size(context: StageContext) -> int | None:
    """The bytes of the policy's weights, by its configuration; None where a piece of the user's own
    makes or saves it."""
    from rlhf.models.load import ModelPiece, parameter_count

    if context.model_config is None or type(context.model).save is not ModelPiece.save:
        return None
    count = parameter_count(context.model_config)
    return None if count is None else WEIGHT * count


def _by_disk(
    cfg: Config,
    homes: Mapping[str, Path],
    disks: Mapping[str, Path],
    sizes: Mapping[str, int],
    state: int,
    checkpoints: int,
) -> dict[Path, int]:
    """The most bytes that are on each disk at one time: every stage leaves its `sizes`, a path one
    of each point, and has its checkpoints, of `state` times what is trained, beside them while it
    is trained."""
    most, left = dict[Path, int](), dict[Path, int]()
    for name, size in sizes.items():
        disk = disks[name]
        models = 1 + (STAGES[name].is_run and trains_values(cfg.algorithm, cfg.advantage))
        # an ensemble's reward models stay side by side
        copies = max(1, ensemble_members(cfg.scorer)) if name == "reward_model" else 1
        earlier = len(path_grid(cfg.kl) or [None]) - 1 if STAGES[name].is_run else 0
        left[disk] = left.get(disk, 0) + (copies + earlier) * size
        kept = checkpoints + earlier * (cfg.checkpoints.after_finish != "none")
        need = left[disk] + kept * state * models * size - _held(homes[name], name)
        most[disk] = max(most.get(disk, 0), need)
    return most


def _disks(homes: Mapping[str, Path]) -> dict[str, Path]:
    """For each stage the folder that it writes to, or the nearest above that is there; of folders
    on one disk the first."""
    disks = dict[str, Path]()
    for name, home in homes.items():
        place = existing(home)
        device = place.stat().st_dev
        disks[name] = next((d for d in disks.values() if d.stat().st_dev == device), place)
    return disks


def _held(home: Path, stage: str) -> int:
    """The bytes of the checkpoints that a run that was cut has already."""
    pattern = "checkpoints/*" if STAGES[stage].is_run else f"{stage}/*.work/checkpoints/*"
    size = 0
    for path in home.glob(pattern):
        with suppress(FileNotFoundError):  # a run that is at work removes its older ones
            size += path.stat().st_size
    return size

"""A planned command beside this machine: everything that would refuse it, before anything heavy is
imported, and what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf.config.build import build
from rlhf.config.composition.plan import Plan
from rlhf.config.schema import Config
from rlhf.data.records import DataError, Loaded
from rlhf.estimates.rows import size_of
from rlhf.rundir.noted import is_complete
from rlhf.runs.execute import directory_of, tracking_faults
from rlhf.runs.machine.faults import cores, machine_faults
from rlhf.runs.machine.fits import Fit, fit_of
from rlhf.runs.machine.together import Fits
from rlhf.runs.planned.stages import Contents, Shelf, StageState
from rlhf.sweeps.extras import ELSEWHERE, missing_extras
from rlhf.sweeps.job import job_of
from rlhf.sweeps.launchers.prepare import at_once, most, visible_gpus


@dataclass(frozen=True)
class JudgedJob:
    """A job whose config is right."""

    overrides: tuple[str, ...]
    config: Config
    directory: Path
    complete: bool  # it was finished before, and nothing of it is lost
    stages: tuple[StageState, ...] = ()  # that are artifacts; of one that is not complete
    fit: Fit | None = None


@dataclass
class Judged:
    configs: list[Config]
    faults: list[str] = field(default_factory=list)
    loaded: Loaded | None = None  # the last data
    fits: Fits = Fits(fits=())
    jobs: list[JudgedJob] = field(default_factory=list)


def judge(planned: Plan) -> Judged:
    """The faults of the machine, of folders and stores, of the data, and those of memory and disk
    where the data are known."""
    judged = Judged([job.config for job in planned.jobs if job.config is not None])
    configs = judged.configs
    elsewhere = planned.sweep and planned.parts["launcher"][1].endswith(ELSEWHERE)
    faults = missing_extras(planned.parts)
    faults += machine_faults(configs, sweep=planned.sweep, elsewhere=elsewhere)
    if not any(fault.startswith("paths.") for fault in faults):  # the store is in one of them
        faults += tracking_faults(configs)
    places = {job.overrides: _directory(planned, job.config, job.overrides) for job in planned.jobs}
    complete = {own: place is not None and is_complete(place) for own, place in places.items()}
    data, wrong = _load(job.config for job in planned.jobs if not complete[job.overrides])
    judged.loaded = next(reversed(data.values()), None)
    shelf, sizes = Shelf(), {piece: size_of(loaded.data) for piece, loaded in data.items()}
    contents = {piece: Contents(loaded.data) for piece, loaded in data.items()}
    for job in planned.jobs:
        place, cfg = places[job.overrides], job.config
        if cfg is None or place is None:
            continue
        done = complete[job.overrides]
        stages = () if done else tuple(shelf.states(cfg, contents.get(cfg.data)))
        fit = None if done else fit_of(cfg, place, sizes.get(cfg.data), stages)
        judged.jobs.append(JudgedJob(job.overrides, cfg, place, done, stages, fit))
    if not wrong and not elsewhere:
        judged.fits = _fits(judged.jobs, planned)
        wrong = judged.fits.faults()
    judged.faults = [*faults, *wrong]
    return judged


def _directory(planned: Plan, cfg: Config | None, overrides: Sequence[str]) -> Path | None:
    if cfg is None or not planned.sweep:
        return None if cfg is None else directory_of(cfg)
    return job_of(cfg, overrides, Path(cfg.paths.sweep_dir)).directory


def _load(configs: Iterable[Config | None]) -> tuple[dict[Any, Loaded], list[str]]:
    """Reads the data of runs that are not finished: cheap, and a wrong row must be told before
    any model is built. Returns the data by their pieces, and all faults."""
    loaded, faults = {}, list[str]()
    for piece in {cfg.data: None for cfg in configs if cfg is not None}:
        try:
            loaded[piece] = Loaded.of(build(piece))
        except DataError as error:
            faults += error.faults
    return loaded, list(dict.fromkeys(faults))


def _fits(jobs: Sequence[JudgedJob], planned: Plan) -> Fits:
    """Of the runs that are not finished."""
    configs = [job.config for job in jobs]
    alone = Fits(fits=tuple(job.fit for job in jobs if job.fit is not None))
    if not planned.sweep or not configs:
        return alone
    planned.room = alone.room
    on_gpu = any(cfg.trainer.accelerator == "cuda" for cfg in configs)
    together = at_once(
        planned.at_once,
        cores=cores(),
        gpus=len(visible_gpus(os.environ)) if on_gpu else 0,
        room=planned.room,
        **most(configs),
    )
    return Fits(fits=alone.fits, at_once=together)


def needs(fits: Fits) -> list[str]:
    """What a command is about to need, a line each, and what may not fit."""
    return [f"  {line}" for line in fits.lines()] + [f"warning: {c}" for c in fits.cautions()]

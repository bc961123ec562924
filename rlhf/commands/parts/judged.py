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
from rlhf.estimates.rows import DataSize, size_of
from rlhf.rundir.noted import is_complete
from rlhf.runs.execute import directory_of, tracking_faults
from rlhf.runs.machine.faults import cores, machine_faults
from rlhf.runs.machine.fits import Fits, fit_of
from rlhf.sweeps.extras import ELSEWHERE, missing_extras
from rlhf.sweeps.launchers.prepare import at_once, most, visible_gpus


@dataclass
class Judged:
    configs: list[Config]
    faults: list[str] = field(default_factory=list)
    loaded: Loaded | None = None  # the last data
    fits: Fits = Fits(fits=())


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
    sizes: dict[Any, DataSize] = {}
    judged.loaded, wrong = _load(configs, sizes)
    if not wrong and not elsewhere:
        judged.fits = _fits(configs, sizes, planned)
        wrong = judged.fits.faults()
    judged.faults = [*faults, *wrong]
    return judged


def _load(configs: Iterable[Config], sizes: dict[Any, DataSize]) -> tuple[Loaded | None, list[str]]:
    """Reads the data of runs that are not finished: cheap, and a wrong row must be told before
    any model is built. Returns the last data and all faults; fills in `sizes`, by piece."""
    loaded, faults = None, []
    for piece in {cfg.data: None for cfg in configs if not is_complete(directory_of(cfg))}:
        try:
            loaded = Loaded.of(build(piece))
            sizes[piece] = size_of(loaded.data)
        except DataError as error:
            faults += error.faults
    return loaded, list(dict.fromkeys(faults))


def _fits(configs: Sequence[Config], sizes: dict[Any, DataSize], planned: Plan) -> Fits:
    fits = []
    for cfg in configs:
        directory = Path(cfg.paths.sweep_dir) if planned.sweep else directory_of(cfg)
        if planned.sweep or not is_complete(directory):
            fits.append(fit_of(cfg, directory, sizes.get(cfg.data)))
    alone = Fits(fits=tuple(fit for fit in fits if fit is not None))
    if not planned.sweep:
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

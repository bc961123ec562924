"""The curve of a run that has ended: measured later, and noted among its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.config.build import build
from rlhf.config.checks.realign import reference_fault
from rlhf.config.schema import Config, Realign
from rlhf.config.validate import validate
from rlhf.data.records import Loaded
from rlhf.export.made import Made, NoModel
from rlhf.realign.measure import Folders, measure
from rlhf.realign.ready import start_of
from rlhf.rundir import noted
from rlhf.rundir.files import write_json
from rlhf.rundir.lock import owned
from rlhf.rundir.read import read_json
from rlhf.stages.context import StageContext
from rlhf.tracking.artifacts import send_later

log = logging.getLogger(__name__)
SAME = ("version", "prompts", "responses", "seed")  # of curves that one file has


def realign(made: Made, settings: Realign) -> dict[str, Any]:
    """Measures a finished run's mixtures and writes them into its directory, in place of those of
    before; a curve of the other way stays, where it is of the same prompts, responses and seed.
    Returns what was measured.

    Raises:
        NoModel: its SFT policy or a reward model is not on this disk, or its reference moved.
        ConfigError: its config is none for this version.
        DataError: its data is not there any more.
        RunFailed: another process is at work in its directory.
    """
    cfg: Config = validate(made.config)
    if fault := reference_fault(cfg.kl):
        raise NoModel(f"{made.directory}: {fault}")
    folders = folders_of(made)
    loaded = Loaded.of(build(cfg.data))
    context = StageContext(cfg=cfg, **loaded._asdict(), run_directory=made.directory)
    with owned(made.directory):
        measured = measure(context, folders, settings)
        noted.add(made.directory, noted.REALIGN, beside(_whole(made.directory), measured))
    if warning := send_later(made.directory, noted.REALIGN):
        log.warning("%s", warning)
    return measured


def beside(before: Mapping[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured, with the curves of ways that were measured before alone."""
    if any(before.get(key) != measured[key] for key in SAME):
        return measured
    now = {curve["by"] for curve in measured["curves"]}
    curves = [*measured["curves"], *(c for c in before["curves"] if c["by"] not in now)]
    return {
        **measured,
        "curves": sorted(curves, key=lambda curve: curve["by"]),
        "timings": {**before.get("timings", {}), **measured["timings"]},
    }


def _whole(directory: Path) -> dict[str, Any]:
    """The curves of before; none where they are not what was written."""
    kept = directory / noted.REALIGN
    whole = kept.is_file() and noted.is_noted(directory, noted.REALIGN, kept.read_bytes())
    return read_json(kept) if whole else {}


def folders_of(made: Made) -> Folders:
    """Raises NoModel where one of them is not on this disk any more."""
    reward_models: list[Path] = []
    if made.prints.get("reward_model"):
        reward_models.append(made.folder("reward_model"))
        if made.members is None:
            raise NoModel(f"a reward model of the ensemble of {made.directory} is not on this disk")
        reward_models += made.members
    return Folders(policy=made.folder("policy"), start=start_of(made), reward_models=reward_models)


def at_the_end(context: StageContext, folders: Folders) -> None:
    """The curve of a run that ends now, as its config asks; it is noted with its other files."""
    measured = measure(context, folders, context.cfg.realign)
    write_json(context.run_directory / noted.REALIGN, measured)

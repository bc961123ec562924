"""Whether a directory that was begun, or finished, is this run's: with other data or another config
it is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from rlhf.callbacks.checkpoint import checkpoints
from rlhf.config.naming import other_version, run_hash
from rlhf.rundir.disk.aside import set_aside
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.noted import manifest_damage
from rlhf.rundir.read import read_json, read_yaml
from rlhf.rundir.records import last_recorded
from rlhf.rundir.status import is_finished
from rlhf.runs.machine.entered import changes
from rlhf.runs.summary import run_facts
from rlhf.stages.context import StageContext

log = logging.getLogger(__name__)


def check_begun(directory: Path, context: StageContext) -> None:
    """Asks manifest.json; where that is damaged or lost, config.yaml, and says what is not known
    then.

    Raises:
        RunFailed: the directory is another run's, or nothing says whose it is.
    """
    now, path = run_facts(context)["config_hash"], directory / "manifest.json"
    manifest = {} if manifest_damage(directory) else read_json(path)
    if manifest and (reason := other_version(directory)):
        raise RunFailed(reason)
    known: dict[str, Any] = {"data": None, **manifest.get("fingerprints", {})}
    if "hash" in manifest and known["data"]:
        if manifest["hash"] != now:
            raise RunFailed(_another(directory, manifest["hash"], now))
        if known["data"] != context.data.fingerprint:
            raise RunFailed(
                f"the data changed since {directory} was made: move it away to start anew, or"
                " restore the data"
            )
        if other := changes(directory, context.cfg):
            raise RunFailed(other)
    elif is_finished(directory):
        _ask_config(directory, now)
        log.warning(
            "%s is lost or damaged: config.yaml is this run's. Whether the data is the same, and"
            " whether its records are whole, is not known any more",
            path,
        )
    elif path.exists() or checkpoints(directory) or last_recorded(directory) >= 0:
        _ask_config(directory, now)
        aside = f", the damaged one set aside as {set_aside(path).name}" if path.exists() else ""
        log.warning(
            "%s is written again%s: config.yaml is this run's. Whether the data is the same, and"
            " what the run was begun with, is not known any more",
            *(path, aside),
        )


def _ask_config(directory: Path, now: str) -> None:
    path = directory / "config.yaml"
    kept = read_yaml(path)
    try:
        begun = run_hash(kept) if kept else None
    except (TypeError, ValueError, KeyError, AttributeError):  # not of a config's form
        begun = None
    if begun is None:
        raise RunFailed(
            f"{directory} was begun, but neither its manifest.json nor its config.yaml can be read,"
            " so nothing says by which run: move it away to start anew"
        )
    if begun != now:
        raise RunFailed(_another(directory, begun, now))


def _another(directory: Path, begun: str, now: str) -> str:
    return (
        f"{directory} belongs to another config (hash {begun}, now {now}): choose another directory"
    )

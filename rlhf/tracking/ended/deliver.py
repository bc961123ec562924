"""Directories of runs that have ended, and that a service has not all of: delivered without a
training beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.tracking.mlflow import MLflowSink
from rlhf.tracking.services.table import SINKS
from rlhf.tracking.spool.late import deliver_late, owes
from rlhf.tracking.state import mend


def pending(directory: Path) -> bool:
    """Whether the directory was tracked and a service has not taken all of it, or has it no longer.
    A copy owes nothing. Imports no library of a service."""
    return any(owes(directory, kind) for kind in SINKS)


def deliver(directory: Path) -> str | None:
    """Deliver to each service what an earlier command could not, and close the run there. Returns
    a sentence for each where that is not possible now, None where all has arrived."""
    late = [word for kind in SINKS if (word := deliver_late(directory, kind))]
    return " ".join(dict.fromkeys(late)) or None


def mend_states(directories: Iterable[Path]) -> None:
    """Writes again what says how far the deliveries went, where it was damaged."""
    for directory in directories:
        for kind in SINKS:
            mend(directory, kind.file)


def deliver_beside_mlflow(directories: Iterable[Path]) -> list[str]:
    """Deliver to each service other than MLflow what these directories owe it. A service that does
    not take one of them is left for later: a silent one is waited for once. Returns a sentence for
    each of these."""
    places, others = [*directories], [kind for kind in SINKS if kind is not MLflowSink]
    late = (
        next(filter(None, (deliver_late(path, kind) for path in places)), None) for kind in others
    )
    return [*filter(None, late)]


def deliver_all(directory: Path) -> str | None:
    """The same of the stages that a run stands on, or that it is, of the run's directory, and then
    of its points where it is a path, which MLflow may have below its run. Returns a sentence if
    something could not be delivered; the rest is then not tried."""
    manifest, summary = (read_json(directory / f"{name}.json") for name in ("manifest", "summary"))
    root = manifest.get("config", {}).get("paths", {}).get("artifacts")
    prints = {**manifest.get("fingerprints", {}), **summary.get("fingerprints", {})}
    stages = [Path(root) / stage / own for stage, own in prints.items()] if root else []
    return next(filter(None, map(deliver, (*stages, directory, *points_of(directory)))), None)

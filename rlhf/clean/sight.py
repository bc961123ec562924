"""The runs that are looked at before anything goes: all that can be found, for each may need what
lies in a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from rlhf.inventory import ArtifactEntry, Inventory, take_inventory
from rlhf.rundir.disk.uses import users
from rlhf.rundir.noted import CONFIG, MANIFEST
from rlhf.tracking.database import column
from rlhf.tracking.lookup import DIRECTORY_TAG

STORE = "mlflow.db"


def look(roots: Sequence[Path]) -> Inventory:
    """The inventory of these folders, and of the runs elsewhere that are known to use what lies in
    them: noted beside an artifact, in its manifest, or in MLflow's store."""
    first = take_inventory(*roots)
    own = {run.directory.resolve() for run in first.every_run()}
    own |= {p.directory.resolve() for run in first.every_run() for p in run.points}
    named = [*_noted(first.artifacts), *_tracked(roots)]
    there = {place.resolve(): place for place in named if _is_run(place)}
    further = [place for real, place in there.items() if real not in own]
    return take_inventory(*roots, *further) if further else first


def _is_run(place: Path) -> bool:
    return (place / MANIFEST).is_file() or (place / CONFIG).is_file()


def _noted(artifacts: Sequence[ArtifactEntry]) -> Iterator[Path]:
    for artifact in artifacts:
        yield from (Path(user.directory) for user in users(artifact.directory))
        if artifact.run:
            named = Path(artifact.run)
            bases = () if named.is_absolute() else artifact.directory.absolute().parents
            yield from (base / named for base in (Path(), *bases))


def _tracked(roots: Sequence[Path]) -> Iterator[Path]:
    for path in (root / STORE for root in roots):
        if path.is_file():
            try:
                query = "select distinct value from tags where key = ?"
                yield from map(Path, column(path.absolute(), query, DIRECTORY_TAG))
            except sqlite3.Error:
                continue  # damaged, or none of ours: what is noted elsewhere counts

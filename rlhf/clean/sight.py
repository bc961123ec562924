"""The runs that are looked at before anything goes: all that can be found, for each may need what
lies in a store."""

from __future__ import annotations

import os.path
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rlhf.inventory import Inventory, take_inventory
from rlhf.inventory.stores import STORE
from rlhf.inventory.walk import OUTPUTS, SWEEPS
from rlhf.rundir.disk.uses import users
from rlhf.rundir.noted import CONFIG, MANIFEST
from rlhf.tracking.database import column
from rlhf.tracking.lookup import DIRECTORY_TAG

DATABASE = "mlflow.db"


def look(roots: Sequence[Path]) -> Inventory:
    """The inventory of these folders, of the results beside their stores, and of the runs elsewhere
    that are known to use what lies in them: noted beside an artifact, in its manifest, or in
    MLflow's store."""
    first = take_inventory(*roots)
    known = {root.resolve() for root in roots}
    if beside := [place for place in _beside(_stores(first)) if place.resolve() not in known]:
        roots = [*roots, *beside]
        first = take_inventory(*roots)
    own = {run.directory.resolve() for run in first.every_run()}
    own |= {p.directory.resolve() for run in first.every_run() for p in run.points}
    tracked, unasked = _tracked(roots)
    named = [*_noted(first), *tracked]
    there = {place.resolve(): place for place in named if _is_run(place)}
    further = [place for real, place in there.items() if real not in own]
    whole = take_inventory(*roots, *further) if further else first
    return replace(whole, unasked=unasked)


def _is_run(place: Path) -> bool:
    return any(os.path.isfile(place / name) for name in (MANIFEST, CONFIG))


def _stores(inventory: Inventory) -> set[Path]:
    places = [artifact.directory for artifact in inventory.artifacts]
    places += [leftover.directory for leftover in inventory.leftovers]
    return {place.absolute().parents[1] for place in places}


def _beside(stores: Iterable[Path]) -> Iterator[Path]:
    """The outputs folders that stores lie in, and the sweeps beside these: where a store alone is
    named, or the outputs of another place."""
    for outputs in sorted(store.parent for store in stores if store.name == STORE):
        if outputs.name == OUTPUTS.name or (outputs / DATABASE).is_file():
            yield outputs
            if (sweeps := outputs.with_name(SWEEPS.name)).is_dir():
                yield sweeps


def _noted(inventory: Inventory) -> Iterator[Path]:
    for leftover in inventory.leftovers:
        place = leftover.directory.with_name(leftover.key.fingerprint)
        yield from (Path(user.directory) for user in users(place))
    for artifact in inventory.artifacts:
        yield from (Path(user.directory) for user in users(artifact.directory))
        if artifact.run:
            named = Path(artifact.run)
            bases = () if named.is_absolute() else artifact.directory.absolute().parents
            yield from (base / named for base in (Path(), *bases))


def _tracked(roots: Sequence[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """The directories that MLflow's stores name, and a sentence for each store that is locked or
    damaged: what is noted elsewhere counts. One without a table of tags knows no run."""
    places, unasked = list[Path](), list[str]()
    for path in (root / DATABASE for root in roots):
        if path.is_file():
            try:
                query = "select distinct value from tags where key = ?"
                places += map(Path, column(path.absolute(), query, DIRECTORY_TAG))
            except sqlite3.Error as error:
                if "no such table" not in str(error):
                    unasked.append(
                        f"{path} could not be asked ({error}): runs in other places that it alone"
                        " knows of are not seen; --also names their folder"
                    )
    return places, tuple(unasked)

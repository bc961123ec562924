"""All that could go, and what stays of the same kinds, in one look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlhf.clean import rundirs, stores
from rlhf.clean.needs import Needs
from rlhf.clean.sight import look
from rlhf.clean.things import Thing, Wish
from rlhf.inventory import Inventory, RunEntry
from rlhf.inventory.runs import read_run
from rlhf.rundir.paths.points import path_of


def _whole(run: RunEntry) -> RunEntry:
    """The path's run of a point that was named alone: as long as that goes on, the point stays."""
    path = path_of(run.directory)
    return run if path is None else read_run(path)


def survey(sight: Sequence[Path], wish: Wish) -> tuple[Inventory, list[Thing]]:
    """What is in sight, and the things of the wished kinds, those that go first.

    Args:
        sight: the folders that are looked at for runs which need something.
    """
    inventory = look(sight)
    every = [thing for run in inventory.every_run() for thing in rundirs.things_of(_whole(run))]
    for sweep in inventory.sweeps:
        every += stores.strays_in(sweep.directory)
    every += stores.things_of(Needs(inventory))
    things = {thing.path.absolute(): thing for thing in wish.of(every)}
    order = {kind: i for i, kind in enumerate(wish.kinds)}
    return inventory, sorted(
        things.values(), key=lambda thing: (not thing.goes, order[thing.kind], str(thing.path))
    )

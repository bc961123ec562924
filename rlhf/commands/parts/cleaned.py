"""What `rlhf clean` shows: what goes, what stays of the same kinds, and why."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rlhf.clean.things import Thing
from rlhf.commands.parts.listed.tables import console as wide
from rlhf.inventory import Inventory, freed, total
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import about, plural

LEAST = 24  # characters beside a thing in which its reason can be read


def report(
    inventory: Inventory, things: Sequence[Thing], left: Mapping[str, str] | None
) -> dict[str, Any]:
    """For a program.

    Args:
        left: of what was to be removed, why it is still there; None where nothing was.
    """
    goes, stays = _parted(things)
    return {
        "looked_at": list(map(str, inventory.roots)),
        "unasked": list(inventory.unasked),
        "goes": list(map(_plain, goes)),
        "stays": list(map(_plain, stays)),
        "bytes": {
            "before": inventory.bytes,
            "freed": freed(thing.disk for thing in goes),
            "kept": total(thing.disk for thing in stays),
        },
        **({} if left is None else {"removed": [path for path, why in left.items() if not why]}),
        **({} if left is None else {"left": {path: why for path, why in left.items() if why}}),
    }


def screen(inventory: Inventory, things: Sequence[Thing], console: Console | None = None) -> None:
    console = console or wide()
    goes, stays = _parted(things)
    for title, some in (("goes", goes), ("stays", stays)):
        if some:
            console.print(_table(title, some, console.width))
            console.print()
    if not things:
        console.print("nothing of these kinds is there")
    for sentence in inventory.unasked:
        console.print(escape(sentence), highlight=False)
    taken = amount(inventory.bytes)
    if goes:
        free = amount(freed(thing.disk for thing in goes))
        console.print(f"{plural(len(goes), 'thing')} can go: {free} of {taken} in sight")
    else:
        console.print(f"nothing can go; {taken} in sight")


def _parted(things: Sequence[Thing]) -> tuple[list[Thing], list[Thing]]:
    return [t for t in things if t.goes], [t for t in things if not t.goes]


def _table(title: str, things: Sequence[Thing], width: int) -> Table:
    """A line for each; its reason beside it, or below it where `width` characters are too few."""
    rows = list(_rows(things))
    columns = [[f"{kind:<12}{name}", size, age] for kind, name, size, age, _ in rows]
    used = sum(max(map(len, column)) + 2 for column in zip(*columns, strict=True))
    beside = width - used >= LEAST
    table = Table(box=None, pad_edge=False)
    table.add_column(title, style="bold", overflow="fold", no_wrap=beside)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("age", justify="right", no_wrap=True)
    if beside:
        table.add_column("", overflow="fold")
    for cells, (*_, why) in zip(columns, rows, strict=True):
        table.add_row(*map(escape, cells), *([escape(why)] if beside else []))
        if why and not beside:
            table.add_row(Text(f"  {why}", style="not bold"))
    return table


def _rows(things: Sequence[Thing]) -> Iterator[tuple[str, str, str, str, str]]:
    for thing in things:
        age = "" if thing.changed is None else about(max(0.0, time.time() - thing.changed))
        yield thing.kind, str(thing.path), amount(thing.disk.bytes), age, thing.why
    for kind, some in groupby(things, key=lambda thing: thing.kind):
        parts = [thing.disk for thing in some]
        if len(parts) > 1:
            yield kind, f"{len(parts)} together", amount(total(parts)), "", ""


def _plain(thing: Thing) -> dict[str, Any]:
    return {
        "kind": thing.kind,
        "path": str(thing.path),
        "why": thing.why,
        "bytes": thing.disk.bytes,
        "changed": thing.changed,
    }

"""Tables of names and numbers that fit a terminal, and go whole through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf.rundir.words import shortened
from rlhf.sweeps.screen.table import STYLES

SHORTEST = 8  # characters of a name
STATE = {**STYLES, "damaged": "bold red"}


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    side: Literal["left", "right"] = "right"
    gives_way: int = 0  # a narrow terminal does without those above 0, the highest first


Row = Mapping[str, str]  # the cells by the names of their columns


def table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> Table:
    """The first column is a name, which a narrow terminal shows shortened. Columns that no row
    fills are left out."""
    columns = [c for c in columns if c is columns[0] or any(row.get(c.name) for row in rows)]
    shown, room = _fitting(columns, rows, width)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        grid.add_column(column.name, justify=column.side, no_wrap=True)
    first = shown[0].name
    names = shortened([row[first] for row in rows], room)
    for name, row in zip(names, rows, strict=True):
        cells = [name, *(row.get(column.name, "") for column in shown[1:])]
        grid.add_row(
            *(
                Text(cell, STATE.get(cell, "") if column.name == "state" else "")
                for cell, column in zip(cells, shown, strict=True)
            )
        )
    return grid


def _fitting(
    columns: Sequence[Column], rows: Sequence[Row], width: int
) -> tuple[list[Column], int]:
    """The columns that fit, and the characters that are left for a name."""
    sizes = {c.name: max(len(c.name), *(len(r.get(c.name, "")) for r in rows)) for c in columns}
    shown, going = list(columns), sorted(columns, key=lambda column: column.gives_way)
    while True:
        room = width - sum(sizes[c.name] + 2 for c in shown[1:])
        if room >= sizes[shown[0].name] or not going[-1].gives_way:
            return shown, max(room, SHORTEST)
        shown.remove(going.pop())


def console() -> Console:
    """As wide as the terminal; as wide as anything needs where the output goes elsewhere. What its
    encoding lacks is a question mark."""
    with suppress(AttributeError):  # no stream of text in a file
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    own = Console(highlight=False)
    return own if own.is_terminal else Console(width=10_000, highlight=False)

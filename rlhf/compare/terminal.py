"""The comparison in a terminal."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rlhf.compare.read import Run
from rlhf.compare.result import Comparison
from rlhf.compare.text.settings import bare
from rlhf.rundir.words import shortened

SHORTEST = 8  # characters of a name
# columns that a narrow terminal does without, first to go first
EXPENDABLE = (
    *("responses", "with EOS", "length", "CPU seconds", "iterations"),
    *("runs", "gold over SFT"),
)


def wide_console() -> Console:
    """As wide as the terminal; wide enough for every column where the output goes to a file."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def fitting(
    head: list[str], lines: list[list[str]], width: int
) -> tuple[list[str], list[list[str]]]:
    """The table without as many expendable columns as it takes to fit `width` characters; where
    that is not enough, with shortened names."""
    kept = list(range(len(head)))
    for name in EXPENDABLE:
        widths = [max(len(row[i]) for row in [head, *lines]) for i in kept]
        if sum(widths) + 2 * len(kept) - 2 <= width:  # two spaces between them
            break
        kept = [i for i in kept if head[i] != name]
    widths = [max(len(row[i]) for row in [head, *lines]) for i in kept]
    room = max(widths[0] - max(sum(widths) + 2 * len(kept) - 2 - width, 0), SHORTEST)
    names = shortened([row[0] for row in lines], room)
    rows = [[name, *(row[i] for i in kept[1:])] for name, row in zip(names, lines, strict=True)]
    return [head[i] for i in kept], rows


def show(
    console: Console,
    result: Comparison,
    unfinished: Sequence[Run],
    table: tuple[list[str], list[list[str]]],
) -> None:
    """The verdict, the table, what the verdict rests on, what did not finish, where everything
    is."""
    verdict, _, rest = result.answer.partition("\n\n")
    console.print(f"[bold]{escape(verdict)}[/bold]\n", highlight=False)
    head, lines = fitting(*table, console.width)
    if result.settings:
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for i, name in enumerate(head):
            grid.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
        for cells in lines:
            grid.add_row(*map(escape, cells), style="bold" if bare(cells[0]) != cells[0] else None)
        console.print(grid)
        console.print()
    console.print(escape(rest), highlight=False)
    for run in unfinished:
        log = f"  {os.path.relpath(run.log)}" if run.log.is_file() else ""
        console.print(
            f"[yellow]{run.status}[/yellow]  {escape(run.name)} "
            f" {escape(run.error or '')}{escape(log)}",
            soft_wrap=True,
        )
    console.print()
    files = {name: os.path.relpath(path) for name, path in result.files.items()}
    for name, place in [*files.items(), *result.links.items()]:
        console.print(f"{name:<15} {escape(place)}", soft_wrap=True, highlight=False)
    for warning in result.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]", soft_wrap=True)

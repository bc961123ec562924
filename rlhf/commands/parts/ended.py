"""What a run says at its end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rlhf.metrics import END_OF_RUN, Z95
from rlhf.rundir.words import plus_minus, wrapped


def print_summary(summary: dict[str, Any], directory: Path) -> None:
    """Prints the numbers of its last evaluation, warnings, its files and links."""
    from rich.console import Console
    from rich.table import Table

    from rlhf.tracking.links import directory_links
    from rlhf.tracking.services.table import other_links

    table = Table(box=None, pad_edge=False, show_header=False)
    numbers = {key: value for key, value in summary.items() if isinstance(value, (int, float))}
    for key, value in numbers.items():
        if key.startswith(END_OF_RUN) and not key.endswith(("_se", "_k2", "_k3", "_exact")):
            error = numbers.get(f"{key}_se")
            half = math.nan if error is None else Z95 * error
            table.add_row(key, plus_minus(value, half))
    console = Console()
    console.print(table)
    for warning in summary.get("warnings", ()):
        console.print(f"\nwarning: {warning}", highlight=False)
    names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    files = f"{directory}: {', '.join(names)}"
    if console.is_terminal:
        files = wrapped(files, console.width)
    console.print(f"\n{files}", highlight=False, soft_wrap=True)
    links = directory_links(directory) | other_links(directory)
    width = 2 + max(map(len, links), default=6)
    for label, place in links.items():
        console.print(f"{label:<{width}}{place}", highlight=False, soft_wrap=True)

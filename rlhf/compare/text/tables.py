"""Tables as files, and as lines of report.md. Names come from configs, so nothing in a cell is
taken for markup."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.rundir.files import write_text


def write_csv(
    path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """One line a row; what it lacks is empty. `columns`: those of the first row by default."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(plain, cells))} |" for cells in rows)


def plain(text: str) -> str:
    """On one line, without HTML and without the bar that ends a cell."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")

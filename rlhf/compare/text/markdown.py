"""Tables of report.md. Names come from configs, so nothing in a cell is taken for markup."""

from __future__ import annotations

from collections.abc import Sequence


def grid(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(plain, cells))} |" for cells in rows)


def plain(text: str) -> str:
    """On one line, without HTML and without the bar that ends a cell."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")

"""The files of a run directory as tracking and comparison read them. Knows the standard library
only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

NONFINITE = ("nan", "inf", "-inf")


def number(value: Any) -> float | None:
    """A float for a number or one of "nan", "inf", "-inf"; None for anything else."""
    return float(value) if isinstance(value, (int, float)) or value in NONFINITE else None


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty where there is no file or no whole JSON object."""
    try:
        return _parse(path.read_bytes()) or {}
    except OSError:
        return {}


def last_row(path: Path) -> dict[str, Any]:
    """The last whole line of a JSON Lines file; empty where there is none."""
    return _parse(_end_of(path, 16384).rpartition("\n")[0].rpartition("\n")[2]) or {}


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log that say something."""
    return [line.strip() for line in _end_of(path, 4096).splitlines() if line.strip()][-count:]


def _end_of(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class Lines:
    """Reads a growing JSON-lines file from where it stopped, whole lines only.

    A file that became shorter is read again from its start: a resumed run cuts its metrics back to
    the checkpoint. If it has grown past the old position unseen, reading on is right too, because
    the lines it wrote again are the same.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._offset = path, 0

    def read(self) -> list[dict[str, Any]]:
        """The complete lines since the last call. Lines that are no JSON objects are left out."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [row for row in map(_parse, whole.splitlines()) if row is not None]


def _parse(text: bytes | str) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None

"""The files of a run directory as tracking and comparison read them. Knows the standard library
only."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def number(value: Any) -> float | None:
    """A float for a number or one of "nan", "inf", "-inf"; None for anything else."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        return NONFINITE.get(value)
    return None


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`; empty where there is no file or no whole JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Replace `path` in one step: a reader sees the old text or the new one."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    aside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, path)


class Lines:
    """Reads a growing JSON-lines file from where it stopped, whole lines only.

    A file that became shorter is read again from its start: a resumed run cuts its metrics back to
    the checkpoint. If it has grown past the old position unseen, reading on is right too, because
    the lines it wrote again are the same.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

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


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None

"""Files that are whole or not there: written aside in the same directory, flushed to disk,
renamed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlhf.rundir.disk.aside import whole
from rlhf.rundir.disk.space import writing
from rlhf.rundir.read import Lines


def write_bytes(path: Path, data: bytes) -> None:
    """Atomic: a reader, or a kill at any moment, sees the old file or the new one.

    Raises:
        DiskError: the disk is full, read-only or otherwise refuses; the old file is as it was.
    """
    with writing(path, len(data)), whole(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Atomic. Half a surrogate pair is no text, and becomes a question mark."""
    write_bytes(path, text.encode(errors="replace"))


def plain_number(value: Any) -> Any:
    """JSON has no nan or inf: they become the strings "nan", "inf", "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: plain_number(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_number(v) for v in value]
    return value


def json_text(value: Any) -> str:
    """The text of a JSON file of a run."""
    return json.dumps(plain_number(value), indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    write_text(path, json_text(value))


def append_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Adds whole lines, or none where the disk refuses (DiskError)."""
    lines = [json.dumps(plain_number(row), ensure_ascii=False) + "\n" for row in rows]
    data = "".join(lines).encode()
    with writing(path, len(data)), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            rest = memoryview(data)
            while rest:  # a disk that fills up takes a part first
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), before)
            raise


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Whole lines only: one cut by a kill is left out."""
    return Lines(path).read()


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"kl": {"coef": 1}} -> {"kl.coef": 1}. Lists and empty mappings are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping) and value
        flat |= flatten(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def sync_directory(path: Path) -> None:
    """Makes a rename inside `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""JSON Lines on disk, plain or gzip: one object a line, every fault with its file and line."""

from __future__ import annotations

import difflib
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

GZIP_MAGIC = b"\x1f\x8b"
KINDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def kind(value: object) -> str:
    """The name of a value's type in JSON."""
    return KINDS[type(value)]


def quoted(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f'"{name}"' for name in names)


def missing(path: Path) -> str | None:
    """Why `path` cannot be a file of rows, with the nearest name that exists; None where it is a
    file."""
    if path.is_file():
        return None
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if entry.is_file())[:5]
        return f"{path}: a folder, not a file" + (
            f" (it holds {', '.join(inside)})" if inside else ""
        )
    if "$" in str(path) and (meant := os.path.expandvars(path)) != str(path):
        return f"{path}: variables are read by the shell alone; write {meant}"
    folder = path.parent
    while not folder.is_dir():
        folder = folder.parent
    wanted = path.relative_to(folder).parts[0]
    near = difflib.get_close_matches(wanted, sorted(entry.name for entry in folder.iterdir()), n=1)
    lost = "no such file" if folder == path.parent else f'no "{wanted}"'
    return f"{path}: {lost} in {folder.resolve()}" + (
        f'; did you mean "{folder / near[0]}"?' if near else ""
    )


def read_objects(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every good line; the bad ones go to `faults`. Blank lines
    count and are passed over."""
    reason = missing(path)
    if reason:
        faults.append(reason)
        return
    seen = 0
    try:
        for number, raw in enumerate(_lines(path), start=1):
            if not raw.strip():
                continue
            seen += 1
            row = _object(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
            if isinstance(row, str):
                faults.append(f"{path}:{number}: {row}")
            else:
                yield number, row
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        faults.append(f"{path}: not a whole gzip file ({error})")
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror})")
    else:
        if not seen:
            faults.append(f"{path}: empty, no row in it")


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as plain:
        zipped = plain.read(2) == GZIP_MAGIC
    with gzip.open(path) if zipped else path.open("rb") as lines:
        yield from lines


def _object(raw: bytes) -> dict[str, Any] | str:
    """The line's object, or the reason why it is none."""
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}"
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        return f"not JSON at column {error.colno}: {error.msg}"
    except RecursionError:
        return "not JSON that can be read: nested too deeply"
    except ValueError as error:  # a number of thousands of digits
        return f"not JSON that can be read: {error}"
    return row if isinstance(row, dict) else f"{kind(row)}, not an object"

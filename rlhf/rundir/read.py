"""The files of a run directory, for everybody who reads them. A file that is damaged is named once
and counts as far as it can be read: the rest goes on. Knows the standard library only."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from typing import Any

from rlhf.rundir.shapes import fitting, number

__all__ = [
    "Lines",
    "collecting",
    "last_lines",
    "last_row",
    "number",
    "parse_yaml",
    "read_json",
    "read_object",
    "read_text",
    "read_yaml",
]

log = logging.getLogger(__name__)
DEEP = 500  # levels of a YAML text, which Python can read too
_named: set[tuple[str, str]] = set()
_collected: ContextVar[list[tuple[Path, str]] | None] = ContextVar("_collected", default=None)


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, as far as its values are of the types that such a file has; empty
    where there is no file or no whole JSON object."""
    value = read_object(path)
    kept, faults = fitting(path.name, value) if value is not None else ({}, [])
    if faults:
        name_odd(path, f"{_first(faults)}: left out")
    return kept or {}


def read_object(path: Path) -> dict[str, Any] | None:
    """The object in `path` as it is; None where there is no file or no whole JSON object."""
    text = read_text(path)
    if text is None:
        return None
    value, why = _parsed(text)
    if value is None:
        name_odd(path, f"{why}: it counts as missing")
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in `path`; empty where there is no file, or none that can be read."""
    yaml: Any = import_module("yaml")  # it carries no types
    text = read_text(path)
    if text is None:
        return {}
    try:
        tree = parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())[:100]
        name_odd(path, f"it is no YAML ({why}): it counts as missing")
        return {}
    if not isinstance(tree, Mapping):
        name_odd(path, f"it holds {_kind(tree)}, expected a mapping: it counts as missing")
        return {}
    return dict(tree)


def parse_yaml(text: str) -> Any:
    """What a YAML text holds, plain values alone: by libyaml where PyYAML was built with it, which
    takes a tenth of the time.

    libyaml's reader ends the process where values lie too deep in each other; Python's raises. No
    text has more levels than its brackets and the columns of its longest line."""
    yaml: Any = import_module("yaml")
    levels = text.count("[") + text.count("{") + max(map(len, text.split("\n")))
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader) if levels < DEEP else yaml.SafeLoader
    return yaml.load(text, Loader=fast)


def read_text(path: Path) -> str | None:
    """The text in `path`; None where there is no file, or none that can be read."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        name_odd(path, "it is no text: it counts as missing")
    except OSError as error:
        name_odd(path, f"it cannot be read ({error.strerror or error}): it counts as missing")
    return None


@contextmanager
def collecting() -> Iterator[list[tuple[Path, str]]]:
    """A list that takes what is odd in the files that are read inside, (path, what) each, which is
    not logged then."""
    odd: list[tuple[Path, str]] = []
    token = _collected.set(odd)
    try:
        yield odd
    finally:
        _collected.reset(token)


def name_odd(path: Path, what: str) -> None:
    """Says it once in a process, however often the file is read."""
    if (odd := _collected.get()) is not None:
        odd.append((path, what))
    elif (key := (str(path), what)) not in _named:
        _named.add(key)
        log.warning("%s: %s", path, what)


def last_row(path: Path) -> dict[str, Any]:
    """The last whole line of a JSON Lines file; empty where there is none."""
    row, _ = _parsed(_end_of(path, 16384).rpartition("\n")[0].rpartition("\n")[2])
    return fitting(path.name, row or {})[0] or {}


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

    One that became shorter, or another file by now, is read again from its start: a resumed run
    writes its records anew, as they were at the checkpoint, and may be past the old position at the
    next look.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._offset, self._line = path, 0, 0
        self._file: tuple[int, int] | None = None  # that was read: its device, its number there

    def read(self) -> list[dict[str, Any]]:
        """The complete lines since the last call. Lines that are no rows of this file are left out,
        and named."""
        try:
            with self.path.open("rb") as file:
                stat = os.fstat(file.fileno())
                now = stat.st_dev, stat.st_ino
                if now != self._file or stat.st_size < self._offset:
                    self._file, self._offset, self._line = now, 0, 0
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            name_odd(self.path, f"it cannot be read ({error.strerror}): it counts as missing")
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        rows, faults = [], []
        # not splitlines of text: that also breaks at U+2028 and its like, which JSON leaves
        for line in whole.split(b"\n")[:-1]:
            self._line += 1
            row, why = self._row(line)
            rows += [] if row is None else [row]
            faults += [f"line {self._line}: {why}"] if why else []
        if faults:
            name_odd(self.path, f"{_first(faults)}: left out")
        return rows

    def _row(self, line: bytes) -> tuple[dict[str, Any] | None, str]:
        if not line.strip():
            return None, ""
        value, why = _parsed(line)
        if value is None:
            return None, why
        row, faults = fitting(self.path.name, value)
        return row, "; ".join(faults)


def _parsed(text: bytes | str) -> tuple[dict[str, Any] | None, str]:
    """The JSON object in a text, or None and why there is none."""
    if not text.strip():
        return None, "it is empty"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None, "it is no whole JSON"
    return (value, "") if isinstance(value, dict) else (None, f"it holds {_kind(value)}")


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "text", type(None): "nothing", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _first(faults: list[str]) -> str:
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{faults[0]}{more}"

"""One file of rows: JSON Lines, a JSON array, CSV, parquet or arrow, JSON and CSV also gzipped.
Every fault comes with its file, and the line where the row begins (its number where a file has no
lines)."""

from __future__ import annotations

import difflib
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from rlhf.data.readers.tables import BOM, Numbered, Unreadable, read_arrow, read_csv, read_parquet
from rlhf.data.readers.values import kind

GZIP_MAGIC, ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"
PLAIN = (".jsonl", ".json", ".csv", ".tsv")
# how the name of a file of rows ends, to know it in a folder
ENDINGS = (*PLAIN, *(f"{ending}.gz" for ending in PLAIN), ".parquet", ".pq", ".arrow")


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


def read_objects(
    path: Path, faults: list[str], bad_rows: list[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of every good row. Blank lines count and are passed over.

    Args:
        faults: gets why the file cannot be read, or not to its end.
        bad_rows: gets the rows that are no objects; where it is not given, `faults` does.
    """
    bad_rows = faults if bad_rows is None else bad_rows
    reason = missing(path)
    if reason:
        faults.append(reason)
        return
    seen = 0
    try:
        for number, row in _reader(path)(path):
            seen += 1
            if isinstance(row, str):
                bad_rows.append(f"{path}:{number}: {row}")
            else:
                yield number, row
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        faults.append(f"{path}: not a whole gzip file ({error})")
    except UnicodeDecodeError as error:
        faults.append(f"{path}: not UTF-8 at byte {error.start + 1}")
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror or error})")
    except Unreadable as error:
        faults.append(f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}")
    else:
        if not seen:
            faults.append(f"{path}: empty, no row in it")


def _reader(path: Path) -> Callable[[Path], Numbered]:
    """By the ending of the file's name; JSON where it has another."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return lambda file: read_csv(open_plain(file), ",")
    if name.endswith(".tsv"):
        return lambda file: read_csv(open_plain(file), "\t")
    if name.endswith((".parquet", ".pq")):
        return read_parquet
    if name.endswith(".arrow"):
        return read_arrow
    with open_plain(path) as file:
        head = file.read(4096)
    if head.startswith(ZIP_MAGIC):
        raise Unreadable("a zip archive (or a spreadsheet), no rows; unpack it, or save it as CSV")
    if head.removeprefix(BOM).lstrip().startswith(b"["):
        return _read_array
    return _read_lines


def open_plain(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked where it is gzip, whatever its name."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == GZIP_MAGIC
    return gzip.open(path) if zipped else path.open("rb")  # type: ignore[return-value]


def _read_lines(path: Path) -> Numbered:
    with open_plain(path) as lines:
        for number, raw in enumerate(lines, start=1):
            if raw.strip():
                yield number, _object(raw.removeprefix(BOM) if number == 1 else raw)


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


def _read_array(path: Path) -> Numbered:
    """Rows of `[{...}, {...}]`; what comes after a mistake cannot be told apart and is not read."""
    with open_plain(path) as file:
        text = file.read().removeprefix(BOM).decode("utf-8")
    decoder = json.JSONDecoder()
    at, line = text.index("[") + 1, 1
    counted = 0  # characters whose line ends are in `line`
    separated = True
    while True:
        at = _after_spaces(text, at)
        line, counted = line + text.count("\n", counted, at), at
        if text[at : at + 1] == "]":
            break
        if not separated:
            raise Unreadable("not a JSON array: expected ',' or ']' after a row", line)
        try:
            row, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            reason = f"not JSON at column {error.colno}: {error.msg}"
            raise Unreadable(reason, error.lineno) from None
        except RecursionError:
            reason = "not JSON that can be read: nested too deeply"
            raise Unreadable(reason, line) from None
        except ValueError as error:  # a number of thousands of digits
            raise Unreadable(f"not JSON that can be read: {error}", line) from None
        yield line, row if isinstance(row, dict) else f"{kind(row)}, not an object"
        at = _after_spaces(text, at)
        separated = text[at : at + 1] == ","
        at += separated
    if text[at + 1 :].strip():
        raise Unreadable("not a JSON array: there is more after its ']'", line)


def _after_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at

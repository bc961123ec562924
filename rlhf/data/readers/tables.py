"""Rows of tables: CSV, parquet and arrow. Cells of CSV are text, an empty one is a blank."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlhf.data.readers.values import quoted

# an object, or the reason why there is none
Numbered = Iterator[tuple[int, dict[str, Any] | str]]
BOM = b"\xef\xbb\xbf"
LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit of 131,072 is below a long text's


class Unreadable(ValueError):
    """A file cannot be read, or not beyond a line of it."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def read_csv(file: IO[bytes], delimiter: str) -> Numbered:
    """(line where the row begins, row by the names of the first line)."""
    csv.field_size_limit(LONGEST_CELL)
    with file:
        lines = (raw.removeprefix(BOM if i == 0 else b"").decode() for i, raw in enumerate(file))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        begins = 1
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                # an open quote swallows the rest, so there is nothing to go on with
                raise Unreadable(f"not CSV: {error}", begins) from None
            except UnicodeDecodeError as error:
                reason = f"not UTF-8 at byte {error.start + 1}"
                raise Unreadable(reason, reader.line_num + 1) from None
            if cells is None:
                return
            line, begins = begins, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
                twice = sorted({name for name in header if header.count(name) > 1})
                if twice or "" in header:
                    wrong = f"has {quoted(twice)} twice" if twice else "has a column without a name"
                    raise Unreadable(f"the line of names {wrong}", line)
            elif len(cells) != len(header):
                yield line, f"has {len(cells)} of {len(header)} cells"
            else:
                yield line, dict(zip(header, cells, strict=True))


def read_parquet(path: Path) -> Numbered:
    """(row number from 1, row)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _numbered(file.iter_batches(batch_size=1024))
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"not a parquet file that can be read ({_first_line(error)})") from None


def read_arrow(path: Path) -> Numbered:
    """(row number from 1, row) of a file of arrow record batches, a stream (as `datasets` writes
    it) or a file."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            try:
                batches: Any = pa.ipc.open_stream(source)
            except pa.ArrowInvalid:
                source.seek(0)
                whole = pa.ipc.open_file(source)
                batches = (whole.get_batch(i) for i in range(whole.num_record_batches))
            yield from _numbered(batches)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"not an arrow file that can be read ({_first_line(error)})") from None


def _numbered(batches: Any) -> Numbered:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")

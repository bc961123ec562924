"""The rows of a part of the data (demonstrations, preferences, prompts) from one place or several
weighted ones, in the names that the readers know."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rlhf.data.readers.formats import COLUMNS, Format, Purpose, detect
from rlhf.data.readers.places import read_place
from rlhf.data.readers.rows import Row, parse
from rlhf.data.readers.values import RowError, quoted
from rlhf.data.splits import position

Columns = Mapping[str, str | None]  # our name: the file's; None: not read


def columns_fault(columns: Columns) -> str | None:
    """Why these are no columns to read by: a name on the left that no reader knows."""
    for name in columns:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"no reader knows a column {name}{hint} (known: {', '.join(COLUMNS)})"
    return None


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of rows. `weight`: how often each row counts; of a fraction, that share of the rows
    is taken: 0.5 takes half of them, 1.5 all and half of them twice."""

    path: str
    weight: float = 1.0
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads parts of the data. What is wrong goes to `faults` (files) and `bad_rows` (rows, as
    `file:line: reason`), which may be one list."""

    prompt_words: int
    seed: int
    columns: Columns = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    bad_rows: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)  # the files' own columns, of all rows

    def read(self, places: Iterable[Place], purpose: Purpose) -> list[Row]:
        """The good rows of all places, in their order."""
        return [row for place in places for row in self._read(place, purpose)]

    def _read(self, place: Place, purpose: Purpose) -> list[Row]:
        rows: list[Row] = []
        formats: dict[str, tuple[int, Format]] = {}  # of each file, told by its first good row
        columns = {**self.columns, **place.columns}
        seen: set[str] = set()
        faults_before, bad_before = len(self.faults), len(self.bad_rows)
        for file, line, raw in read_place(place.path, self.faults, self.bad_rows):
            seen |= raw.keys()
            try:
                row = renamed(raw, columns)
                keys = detect(row, purpose)
                first = formats.setdefault(file, (line, keys))
                if keys != first[1]:
                    raise RowError(
                        f"has the format {'+'.join(keys)}, but line {first[0]} has"
                        f" {'+'.join(first[1])}: one format a file"
                    )
                parsed = replace(parse(row, keys, purpose, self.prompt_words), file=file, line=line)
                rows += [parsed] * times(raw, place.weight, self.seed)
            except RowError as error:
                self.bad_rows.append(f"{file}:{line}: {error}")
        self.seen.update(seen)
        self.faults[faults_before:faults_before] = unseen(place.columns, seen, place.path)
        if not rows and len(self.faults) == faults_before:
            bad = len(self.bad_rows) - bad_before
            why = f"all {bad} rows are bad" if bad else f"weight {place.weight:g} takes none"
            self.faults.append(f"{place.path}: no row is left: {why}")
        return rows


def renamed(row: Mapping[str, Any], columns: Columns) -> dict[str, Any]:
    """The row in our names; a column of the file that got another name has its own no more."""
    if not columns:
        return dict(row)
    taken = {*columns, *(name for name in columns.values() if name is not None)}
    named = {name: row[own] for name, own in columns.items() if own is not None and own in row}
    return {name: value for name, value in row.items() if name not in taken} | named


def unseen(columns: Columns, seen: Collection[str], where: str) -> list[str]:
    """A sentence for each column of a file that is named and that no row has."""
    faults = []
    for name, own in columns.items() if seen else ():
        if own is not None and own not in seen:
            near = difflib.get_close_matches(own, sorted(seen), n=1)
            hint = f"; did you mean {near[0]}?" if near else f": they have {quoted(sorted(seen))}"
            faults.append(f"{where}: columns {name}={own}: no row has {own}{hint}")
    return faults


def times(row: Mapping[str, Any], weight: float, seed: int) -> int:
    """How often a row counts: `weight` rounded down, and once more where its number in [0, 1), a
    hash of the row and the seed alone, is below the fraction that is left."""
    whole, fraction = divmod(weight, 1)
    if not fraction:
        return int(whole)
    content = json.dumps(row, sort_keys=True, default=str)
    return int(whole) + (position(content, seed) < fraction)

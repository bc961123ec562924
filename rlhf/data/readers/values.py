"""The values of a row's columns, checked: text, a number. RowError says what is wrong with one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

KINDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


class RowError(ValueError):
    """One row is wrong; the message says why."""


def kind(value: object) -> str:
    """The name of a value's type in JSON; of a table's own types, their name in Python."""
    return KINDS.get(type(value), f"a value of type {type(value).__name__}")


def quoted(names: Iterable[str], between: str = ", ") -> str:
    return between.join(f'"{name}"' for name in names)


def is_blank(value: object) -> bool:
    """True for null and for text of spaces alone: a column that a row leaves empty."""
    return value is None or (isinstance(value, str) and not value.strip())


def text(row: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    """The column's text as it is; `empty`: it may be blank."""
    value = row[key]
    if not isinstance(value, str):
        raise RowError(f'"{key}" is {kind(value)}, not text')
    if not empty and not value.strip():
        raise RowError(f'"{key}" is empty')
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f'"{key}" holds half of a surrogate pair at character {error.start + 1}'
        ) from None
    return value


def optional(row: Mapping[str, Any], key: str) -> str | None:
    """The column's text; None where the row has none, or a blank one."""
    return None if is_blank(row.get(key)) else text(row, key)


def number(row: Mapping[str, Any], key: str) -> float | None:
    """The column as a finite number, also where it is written as text (CSV has nothing else); None
    where the row has none."""
    value = row.get(key)
    if is_blank(value):
        return None
    try:
        size = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        size = math.nan
    if not math.isfinite(size):
        raise RowError(f'"{key}" is {kind(value)}, not a finite number')
    return size

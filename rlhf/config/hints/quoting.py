"""Command lines that Hydra's grammar cannot read, and how to write them so that it can."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable

from hydra.core.override_parser.types import Override

# a value that begins so is meant as a list, a dict or one of Hydra's functions, not as text
NOT_TEXT = re.compile(
    r"^([\[{\"']|(choice|range|interval|tag|sort|shuffle|glob|int|str|bool|float|extend_list)\()"
)


def as_text(key: str, value: str) -> str:
    """The word to type in a shell for `key` to have this very text: `'key="a,b"'`."""
    mark = "'" if '"' in value and "'" not in value else '"'
    # a backslash counts as itself unless it stands before a quote
    escaped = re.sub(r"(\\+)(?=[\"']|$)", r"\1\1", value).replace(mark, f"\\{mark}")
    return shlex.quote(f"{key}={mark}{escaped}{mark}")


def rewritten(line: str, read: Callable[[str], Override]) -> str:
    """What to write in place of a line that cannot be read; empty where nothing is known to help.

    Args:
        read: reads an override; raises an exception where it cannot.
    """
    key, mark, value = line.partition("=")
    if not key.strip():
        return "write key=value"
    if not mark:
        return "" if line.startswith("~") else "write key=value, without spaces"
    if key != key.strip():
        return f"write {shlex.quote(f'{key.strip()}={value.strip()}')}, without spaces"
    if value.startswith("~"):
        value = os.path.expanduser(value)
    if NOT_TEXT.match(value):
        return ""
    plain = (shlex.quote(f"{key}={value}"), as_text(key, value))
    for word in plain[1:] if "${" in value else plain:  # such a value is followed in a text too
        try:
            override = read(shlex.split(word)[0])
        except Exception:  # of several kinds, by the grammar's own words
            continue
        if str(override.value()) == value and not override.is_sweep_override():
            return f"write {word}"
    return ""


def as_one_value(override: Override) -> str:
    """How to write a sweep's line where a single value was meant: a text with a comma in it, or a
    list."""
    key, _, value = (override.input_line or "").partition("=")
    if not override.is_choice_sweep() or NOT_TEXT.match(value):
        return ""
    if re.fullmatch(r"-?\d+,\d+", value):
        return f" (one number: {key}={value.replace(',', '.')})"
    return f" (as one text: {as_text(key, value)}; as a list: {shlex.quote(f'{key}=[{value}]')})"

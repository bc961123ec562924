"""Numbers in words, and words that mean numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(seconds: float) -> str:
    """47 s, 3 min 20 s, 2 h 05 min"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def about(seconds: float) -> str:
    """40 s, 25 min, 7 h, 3 days: of a duration that is not known better."""
    for unit, size, below in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < below * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def seconds_of(value: object) -> float | None:
    """A duration: `90s`, `30m`, `2h`, `1h30m`, `1d`; a plain number is minutes; None is none.

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    if value is None:
        return None
    text = str(value).replace(" ", "").lower()
    number = r"\d+(?:\.\d+)?"
    if re.fullmatch(number, text):
        text += "m"
    if not re.fullmatch(f"(?:{number}[smhd])+", text):
        raise ValueError(
            f"{value!r} is no duration; write 90s, 30m, 2h, 1h30m or 7d (a plain number is minutes)"
        )
    total = sum(
        float(count) * _UNITS[unit] for count, unit in re.findall(f"({number})([smhd])", text)
    )
    if not 0 < total < math.inf:
        raise ValueError(f"{value!r} is no duration; it must be above 0, null is none")
    return total


def tail(text: str, width: int) -> str:
    """The text, or its end after an ellipsis where it is longer than `width`: names of runs differ
    at their ends."""
    return text if len(text) <= width else f"…{text[len(text) - max(width, 1) + 1 :]}"


def few(names: Sequence[str], most: int = 6) -> str:
    """a, b, c; of many the first: a, b, c and 40 more"""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, word: str) -> str:
    """1 job, 2 jobs"""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

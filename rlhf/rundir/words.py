"""Numbers in words, and words that mean numbers."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence

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


def plus_minus(mean: float, half: float) -> str:
    """1.924 ± 0.031, with two digits of the second."""
    if not math.isfinite(mean):
        return "-"
    if not math.isfinite(half) or half <= 0:
        return f"{mean:.4g}"
    digits = min(max(1 - math.floor(math.log10(half)), 0), 6)
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


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


def shortened(names: Sequence[str], width: int) -> list[str]:
    """The names in at most `width` characters each. What is longer loses its end, which commands
    that take the beginning of a name do without; its beginning or its middle where the names would
    be alike."""
    room = max(width, 1) - 1
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: f"{name[:room]}…",
        lambda name: f"…{name[len(name) - room :]}",
        lambda name: f"{name[: room - room // 2]}…{name[len(name) - room // 2 :]}",
    )
    for cut in ways:
        short = [name if len(name) <= width else cut(name) for name in names]
        if len({*short}) == len({*names}):
            return short
    return short


def wrapped(text: str, width: int) -> str:
    """The text with its lines broken between words at `width` characters. What goes on stands below
    the words of its line: after a label and two spaces, else indented by two more. A path or link
    stays whole."""
    return "\n".join(
        _broken(line, width) if len(line) > width else line for line in text.split("\n")
    )


def _broken(line: str, width: int) -> str:
    start = len(line) - len(line.lstrip())
    label = re.match(r" *\S+(?: \S+)* {2,}", line)
    indent = label.end() if label and label.end() <= width // 3 else start + 2
    pieces = textwrap.wrap(
        line,
        max(width, indent + 20),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(pieces) or line


def few(names: Sequence[str], most: int = 6) -> str:
    """a, b, c; of many the first: a, b, c and 40 more"""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, word: str) -> str:
    """1 job, 2 jobs"""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

"""Numbers in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """47 s, 3 min 20 s, 2 h 05 min"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def tail(text: str, width: int) -> str:
    """The text, or its end after an ellipsis where it is longer than `width`: names of runs differ
    at their ends."""
    return text if len(text) <= width else f"…{text[len(text) - max(width, 1) + 1 :]}"


def plural(count: int, word: str) -> str:
    """1 job, 2 jobs"""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"

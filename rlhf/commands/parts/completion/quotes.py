"""Candidates as bash puts them into a line that may have an open quote."""

from __future__ import annotations

import re

SPECIAL = re.compile(r"([^\w@%+=:,./~-])")


def for_bash(candidate: str, *, line: str, word: str, breaks: str) -> str:
    """What bash puts in place of what it takes for the last word: what follows an open quote, else
    what follows the last of its `breaks`.

    Args:
        word: the whole last word, without quotes.
    """
    place = open_quote(line)
    if place is not None:
        return candidate[len(word) - len(line[place + 1 :]) :]
    cut = 1 + max((word.rfind(mark) for mark in breaks if mark not in " \t\n"), default=-1)
    return SPECIAL.sub(r"\\\1", candidate[cut:])


def open_quote(line: str) -> int | None:
    """Where a quote opens that is not closed."""
    quote, place, escaped = "", 0, False
    for i, mark in enumerate(line):
        if escaped:
            escaped = False
        elif mark == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if mark == quote else quote
        elif mark in ("'", '"'):
            quote, place = mark, i
    return place if quote else None

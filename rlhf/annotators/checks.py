"""What annotators refuse, asked by their constructors and by the check of a config. No torch
here."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from string import Formatter

PLACES = ("prompt", "first", "second")  # of a judge's template


def share(name: str, value: float) -> float:
    """The value of an argument that must lie from 0 to 1.

    Raises:
        ValueError: it does not.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, got {value}")
    return float(value)


def not_negative(name: str, value: float) -> float:
    """The value of an argument that must be a finite number of 0 or more.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of 0 or more, got {value}")
    return float(value)


def finite(name: str, value: float) -> float:
    """The value of an argument that must be a finite number.

    Raises:
        ValueError: it is not.
    """
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return float(value)


def template_fault(template: str) -> str | None:
    """Why a question to a judge cannot be made; None where it can."""
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        return f"cannot be read: {error}; a brace that stands for itself is written twice"
    named = [place for _, place, _, _ in parts if place is not None]
    unknown = [place for place in named if place not in PLACES]
    if unknown:
        known = ", ".join(f"{{{place}}}" for place in PLACES)
        return f"has {{{unknown[0]}}}, which nothing is given for; it knows {known}"
    if formed := [place for _, place, form, conversion in parts if form or conversion]:
        return f"has {{{formed[0]}}} with a format; its text stands there as it is"
    lacking = [place for place in ("first", "second") if place not in named]
    if lacking:
        return f"has no {{{lacking[0]}}}: what it asks would not depend on that answer"
    return None


def answers_fault(answers: Collection[str]) -> str | None:
    """Why these two words cannot tell which answer a judge prefers; None where they can."""
    if len(answers) != 2 or not all(answers) or len({*answers}) != 2:
        return f"expected two different words, one for each answer, got {[*answers]}"
    return None


def plain_word(word: str) -> str:
    """A word without the space around it and whatever its case."""
    return word.strip().casefold()


def words_fault(answers: Collection[str], tie: str | None) -> str | None:
    """Why a reply cannot be told to be one of these words; None where it can."""
    words = [*answers, *([] if tie is None else [tie])]
    if len({plain_word(word) for word in words} - {""}) == len(words):
        return None
    return f"expected words that differ in more than case and space, got {[*answers]}" + (
        f" and annotator.tie={tie}" if tie is not None else ""
    )


def pool_faults(names: Collection[str], weights: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """(key, reason) for each fault of a pool's members and weights."""
    if not names:
        yield (
            "members",
            "has none; add one by +annotator@annotator.members.NAME=OPTION, as in"
            " +annotator@annotator.members.strict=gold",
        )
    for name, weight in weights.items():
        if name not in names:
            yield f"weights.{name}", f"is the weight of no member; there are {', '.join(names)}"
        elif not weight >= 0:
            yield f"weights.{name}", f"is {weight:g}: expected 0 or more"
    if names and not any(weights.get(name, 1.0) for name in names):
        yield "weights", "are all 0: nobody would be asked"

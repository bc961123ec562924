"""What scorers refuse, asked by their constructors and by the check of a config. No torch here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import regex

TAKES = ("prompts", "responses", "references", "turns")  # what a function is called with, by name
RESERVED = ("proxy", "gold", "disagreement", "combined")  # names that rewards of other kinds have
_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def function_fault(function: Any, arguments: Mapping[str, Any]) -> str | None:
    """Why a function cannot be called with the names of `TAKES` that its signature has and with the
    `arguments`; None where it can."""
    if isinstance(function, type) or not callable(function):
        kind = "a class" if isinstance(function, type) else f"of the type {type(function).__name__}"
        return f"is {kind}; expected a function of texts that gives a number a response"
    if inspect.iscoroutinefunction(function):
        return "is async; expected a plain function"
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return "tells no signature; expected a plain function"
    every = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    by_name = [p.name for p in parameters if p.kind in _KEYWORD]
    if twice := [name for name in arguments if name in TAKES]:
        return f"gets {twice[0]} from the rollout: it cannot be in scorer.arguments"
    unknown = [name for name in arguments if name not in by_name and not every]
    if unknown:
        return f"has no parameter {unknown[0]}, which scorer.arguments names"
    empty = [
        p.name
        for p in parameters
        if p.default is inspect.Parameter.empty
        and p.kind in (*_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
        and (p.name not in (*TAKES, *arguments) or p.kind not in _KEYWORD)
    ]
    if empty:
        return (
            f"has the parameter {empty[0]}, which nothing is given for: it is called by name with"
            f" those of {', '.join(TAKES)} that it has, and with scorer.arguments"
        )
    if "responses" not in by_name and not every:
        return "does not take responses: its scores would not depend on what the policy writes"
    return None


def given_to(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of `TAKES` that a function is called with."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return TAKES
    names = {p.name for p in parameters}
    return tuple(name for name in TAKES if name in names)


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The pattern, ready for use.

    Raises:
        ValueError: it is none.
    """
    if not pattern:
        raise ValueError("pattern is empty: every response would match")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"pattern cannot be read: {error}") from None


def text_fault(text: str | None) -> str | None:
    """Why a text that a classifier reads cannot be made."""
    if text is not None and "{response}" not in text:
        return f"text={text!r} has no {{response}}: its scores would not depend on the responses"
    return None


def parts_faults(
    names: Collection[str], weights: Mapping[str, float], how: str, ensembles: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """(key, reason) for each fault of a sum or a product."""
    if not names:
        yield (
            "parts",
            "has none; add one by +scorer@scorer.parts.NAME=OPTION, as in"
            " +scorer@scorer.parts.sentiment=vader",
        )
    if len(ensembles) > 1:
        reason = f"and {', '.join(ensembles[:-1])} are ensembles: the run trains one set of members"
        yield f"parts.{ensembles[-1]}", reason
    for name in names:
        if (reserved := name_fault(name)) is not None:
            yield f"parts.{name}", reserved
    for name, weight in weights.items():
        if name not in names:
            yield f"weights.{name}", f"is the weight of no part; there are {', '.join(names)}"
        elif how == "product" and (weight < 1 or weight % 1):
            yield (
                f"weights.{name}",
                f"is {weight:g}, and in a product a weight is an exponent: 1, 2, 3, ...",
            )


def name_fault(name: str) -> str | None:
    """Why a reward cannot be shown as reward/<name>."""
    if name in RESERVED or name.endswith("_se"):
        return f"reward/{name} is the name of another number; choose another"
    return None


def run_faults(
    measured: Collection[str], judges: Collection[str], prompts: Sequence[Any], *, compares: bool
) -> list[str]:
    """What does not fit between a scorer and the data of its run.

    Args:
        measured: the names that the scorer's scores are shown by.
        judges: those of the data's own judges.
        prompts: all that responses are drawn to.
        compares: the scorer needs the prompts' references.
    """
    faults = [
        f"reward/{name} is the name of a judge of the data: give the scorer another by"
        " scorer.metric, or make it a part of scorer=combined under another name"
        for name in measured
        if name in judges
    ]
    lacking = sum(getattr(prompt, "reference", None) is None for prompt in prompts)
    if compares and lacking:
        faults.append(
            f"compares responses with references, and {lacking} of {len(prompts)} prompts have"
            " none: the data must give one with every prompt"
        )
    return faults

"""The words that may stand at the end of a command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rlhf import commands
from rlhf.commands.parts.completion import options, places, settings


class Candidate(NamedTuple):
    """A word, and what it is."""

    text: str
    description: str = ""


def complete(line: str) -> list[Candidate]:
    """What may stand in place of the last word of a line, which is empty after a space."""
    words, word = split(line)
    candidates = [each for each in _candidates(words, word) if each.text.startswith(word)]
    return sorted(dict(reversed([(each.text, each) for each in candidates])).values())


def split(line: str) -> tuple[list[str], str]:
    """The words after `rlhf`, and the one that is being written. A quote may be open."""
    for closing in ("", '"', "'"):
        try:
            words = shlex.split(line + closing)
            break
        except ValueError:
            continue
    else:
        words = line.split()
    if not words or line[-1:].isspace():
        words.append("")
    names = [i for i, word in enumerate(words[:-1]) if Path(word).name.startswith("rlhf")]
    return words[names[0] + 1 if names else 1 : -1], words[-1]


def _candidates(words: Sequence[str], word: str) -> Iterator[Candidate]:
    name = words[0] if words and words[0] in commands.names() else "run"
    rest = words[1:] if words and words[0] == name else words
    if not words:
        for heading in commands.headed().values():
            yield from (Candidate(*each) for each in heading.items())
    known = options.of_subcommand(name)
    flag, mark, value = word.partition("=")
    before = rest[-1] if rest else ""
    if mark and flag in known.options:
        for candidate in _values(known.options[flag], value):
            yield Candidate(f"{flag}={candidate.text}", candidate.description)
    elif before in known.options and known.options[before].takes_value:
        yield from _values(known.options[before], word)
    elif word.startswith("-"):
        yield from (Candidate(each.name, each.help) for each in known.options.values())
    else:
        yield from _arguments(known, rest, word)


def _values(option: options.Option, value: str) -> Iterator[Candidate]:
    if option.choices:
        yield from (Candidate(choice) for choice in option.choices)
    elif option.metavar in ("DIR", "FILE"):
        yield from (Candidate(path) for path in places.paths(value, files=option.metavar == "FILE"))


def _arguments(known: options.Known, words: Sequence[str], word: str) -> Iterator[Candidate]:
    takes = known.arguments
    if "setting" in takes:
        yield from (Candidate(*each) for each in settings.complete(words, word))
    if "name" in takes:
        for heading in commands.headed().values():
            yield from (Candidate(*each) for each in heading.items())
    if "key" in takes:
        yield from (Candidate(*each) for each in settings.names(words, word))
    if "place" in takes:
        yield from (Candidate(*each) for each in places.results(word))
    if {"run", "sweep"} & takes:
        named = places.names(word, sweeps="sweep" in takes)
        yield from (Candidate(*each) for each in named)
    yield from (Candidate(choice) for choice in known.choices)

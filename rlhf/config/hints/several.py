"""Several options of one group in one word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LIST = re.compile(r"tracking=\[\s*([\w./-]+(?:\s*,\s*[\w./-]+)*)\s*\]")


def spelled(words: Iterable[str]) -> list[str]:
    """The words with `tracking=[mlflow,tensorboard]` in those that Hydra composes it of: the option
    `several`, and each tracker under its own name in it."""
    return [each for word in words for each in _each(word)]


def _each(word: str) -> Iterator[str]:
    match = _LIST.fullmatch(word)
    if match is None:
        yield word
        return
    names = list(dict.fromkeys(re.split(r"\s*,\s*", match[1])))
    if len(names) == 1:
        yield f"tracking={names[0]}"
        return
    yield "tracking=several"
    for name in names:
        key = re.sub(r"\W", "_", name.rpartition("/")[2])
        yield f"+tracking@tracking.trackers.{key}={name}"

"""Runs from several places as one comparison."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlhf.compare.load import MARKS, Run, load, load_run

COMPARISONS = Path("outputs/comparisons")


def is_run(place: Path) -> bool:
    """Whether a directory is a single run's."""
    return any((place / mark).is_file() for mark in MARKS)


def gather(places: Sequence[Path]) -> list[Run]:
    """The runs of the places, each a run's directory or a sweep's. A run that is named twice counts once.

    Names that two runs share get the name of the folder they lie in before them.
    """
    found: dict[Path, Run] = {}
    for place in places:
        for run in [load_run(place)] if is_run(place) else load(place):
            found.setdefault(run.directory.resolve(), run)
    names = Counter(run.name for run in found.values())
    return [replace(run, name=f"{path.parent.name}/{run.name}") if names[run.name] > 1 else run for path, run in found.items()]


def home(runs: Sequence[Run]) -> Path:
    """Where a comparison of these runs is kept: the same for the same runs."""
    key = "\n".join(sorted(str(run.directory.resolve()) for run in runs))
    return COMPARISONS / f"{len(runs)}-runs-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

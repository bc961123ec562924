"""Runs from several places as one comparison."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlhf.compare.read.runs import Run, is_run, load, load_run

COMPARISONS = Path("outputs/comparisons")


def gather(places: Sequence[Path]) -> list[Run]:
    """The runs of the places, each a run's directory or a sweep's. A run that is named twice counts
    once.

    Names that two runs share get the names of the folders they lie in before them, as many as tell
    them apart.
    """
    runs: dict[Path, Run] = {}
    for place in places:
        for run in [load_run(place)] if is_run(place) else load(place):
            runs.setdefault(run.directory.resolve(), run)
    names, folders = {path: run.name for path, run in runs.items()}, dict.fromkeys(runs, 0)
    while shared := [
        path
        for path, count in ((p, Counter(names.values())[n]) for p, n in names.items())
        if count > 1
    ]:
        for path in shared:
            folders[path] += 1
            names[path] = _under(path, runs[path].name, folders[path])
    return [replace(run, name=names[path]) for path, run in runs.items()]


def _under(path: Path, name: str, folders: int) -> str:
    """`name` below as many of the path's folders; the whole path where there are no more."""
    above = path.parts[1:-1]
    return "/".join((*above[len(above) - folders :], name)) if folders <= len(above) else str(path)


def home(runs: Sequence[Run]) -> Path:
    """The folder of a comparison of these runs: the same for the same runs."""
    key = "\n".join(sorted(str(run.directory.resolve()) for run in runs))
    return COMPARISONS / f"{len(runs)}-runs-{hashlib.sha256(key.encode()).hexdigest()[:8]}"

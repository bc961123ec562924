"""Runs that are points of a KL path: one PPO run whose coefficient goes down a grid. The run itself
is the last point, and each earlier one has a directory beneath it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.compare.read.runs import Run
from rlhf.rundir.paths.points import path_of
from rlhf.rundir.read import number


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where on which path a run is."""

    path: Path  # the directory of the path's run
    point: int  # from 0
    points: int  # of the whole path


def place(run: Run) -> Place | None:
    """By the run's summary; None where it is no point of a path."""
    known: Any = run.summary.get("path")
    point = number(known.get("point")) if isinstance(known, dict) else None
    if point is None:
        return None
    own = run.directory.resolve()
    return Place(
        path=path_of(own) or own, point=int(point), points=int(number(known.get("points")) or 1)
    )


def paths(runs: Sequence[Run]) -> list[list[Run]]:
    """The points of each path among the runs, in their order."""
    ways: dict[Path, list[tuple[int, Run]]] = {}
    for run in runs:
        if (there := place(run)) is not None:
            ways.setdefault(there.path, []).append((there.point, run))
    return [[run for _, run in sorted(way, key=lambda w: w[0])] for way in ways.values()]


def whole(runs: Sequence[Run]) -> list[Run]:
    """The runs without the points that a later one of the same path among them has behind it: what
    such a point recorded, the later one recorded too."""
    passed = {run.directory for way in paths(runs) for run in way[:-1]}
    return [run for run in runs if run.directory not in passed]

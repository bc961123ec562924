"""The points of a path: whole run directories below that of the path's run, which is the last point
itself. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlhf.rundir.read import read_json

FOLDER = "points"
MANIFEST = "manifest.json"  # which a run has before it trains, and a folder of runs never


def point_of(summary: Mapping[str, Any]) -> tuple[str, int] | None:
    """(name of the path's run, number of the point from 0), as a summary tells it; None of a run
    that is no path."""
    facts = summary.get("path")
    return (facts["run"], facts["point"]) if isinstance(facts, Mapping) else None


def points_of(directory: Path) -> list[Path]:
    """The points that lie below the run in a directory, in the order of the path. One that was set
    aside has another name than its own, and is none."""
    numbered = []
    for summary in (directory / FOLDER).glob("*/summary.json"):
        content, place = read_json(summary), summary.parent
        if (own := point_of(content)) and content.get("name") == place.name:
            numbered.append((own[1], place))
    return [place for _, place in sorted(numbered)]


def path_of(directory: Path) -> Path | None:
    """The directory of the path's run that a point lies below; None of any other run, those of a
    study or a sweep that is called `points` too."""
    run = directory.parent.parent
    below = directory.parent.name == FOLDER and (run / MANIFEST).is_file()
    return run if below else None

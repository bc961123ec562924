"""Settings that are the points of KL paths.

Each point is a setting of its own, with a run a seed. But the points of one path are no independent
runs: each begins with what the one before it learned. So where numbers of a setting's way through
training are read, or a spread over seeds is pooled over settings, a path stands once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlhf.compare.read import Run, place, whole
from rlhf.compare.statistics.means import over_runs
from rlhf.compare.statistics.settings import Setting, column

COEF = "kl.coef"
ALONE = "path"  # the name of a path beside which nothing else varied


def kin(settings: Sequence[Setting]) -> list[list[Setting]]:
    """The settings, those that are points of the same paths together; every other by itself."""
    alone: list[list[Setting]] = []
    groups: list[tuple[set[Path], list[Setting]]] = []
    for s in settings:
        own = {there.path for run in s.runs if (there := place(run)) is not None}
        if not own:
            alone.append([s])
            continue
        shared = [group for group in groups if group[0] & own]
        groups = [group for group in groups if group not in shared]
        members = [member for _, those in shared for member in those]
        groups.append((own.union(*(others for others, _ in shared)), [*members, s]))
    return [*alone, *(members for _, members in groups)]


def on_path(setting: Setting) -> bool:
    return any(place(run) is not None for run in setting.runs)


def ways(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, with all points of the same paths as one: its runs are the last points, which
    have recorded what all points did."""
    return [_one(those) for those in kin(settings)]


def way_names(settings: Sequence[Setting]) -> dict[str, str]:
    """A setting's label -> the label in `ways` of what it is a part of."""
    return {s.label: way.label for those in kin(settings) for way in (_one(those),) for s in those}


def _one(points: Sequence[Setting]) -> Setting:
    if len(points) == 1:
        return points[0]
    runs = whole([run for s in points for run in s.runs])
    last = max(points, key=lambda s: (sum(run in runs for run in s.runs), s.label))
    label = re.sub(rf"(^| ){re.escape(COEF)}=\S+", "", last.label).strip() or ALONE
    return replace(
        last,
        label=label,
        short=label,
        values={key: value for key, value in last.values.items() if key != COEF},
        runs=tuple(runs),
        copies=(),
        estimates={key: over_runs(*column(runs, key)) for key in last.estimates},
    )


def independent(members: Sequence[tuple[Setting, Run]]) -> list[tuple[Setting, Run]]:
    """The runs with their settings, without the points that a later one of the same path has behind
    it."""
    kept = {run.directory for run in whole([run for _, run in members])}
    return [(s, run) for s, run in members if run.directory in kept]

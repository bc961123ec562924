"""Settings that are the points of KL paths.

Each point is a setting of its own, with a run a seed. But the points of one path are no independent
runs: each begins with what the one before it learned. So where numbers of a setting's way through
training are read, or a spread over seeds is pooled over settings, a path stands once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from rlhf.compare.read import Run, place, whole
from rlhf.compare.statistics.means import over_runs
from rlhf.compare.statistics.settings import Setting, column

COEF = "kl.coef"
ALONE = "path"  # the name of a path beside which nothing else varied


def kin(settings: Sequence[Setting]) -> list[list[Setting]]:
    """The settings, those that are points of the same paths together; every other by itself."""
    groups: dict[str, list[Setting]] = {}
    for s in settings:
        others = {key: value for key, value in s.values.items() if key != COEF}
        groups.setdefault(str(others) if on_path(s) else f"{s.label}\n", []).append(s)
    return list(groups.values())


def on_path(setting: Setting) -> bool:
    return any(place(run) is not None for run in setting.runs)


def ways(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, with all points of the same paths as one: its runs are the last points, which
    have recorded what all points did."""
    return [_one(those) if len(those) > 1 else those[0] for those in kin(settings)]


def way_of(setting: Setting, settings: Sequence[Setting]) -> str:
    """The label in `ways` of what a setting is a part of."""
    those = next((those for those in kin(settings) if setting in those), [setting])
    return _without_coef(setting.label) if len(those) > 1 else setting.label


def _one(points: Sequence[Setting]) -> Setting:
    runs = whole([run for s in points for run in s.runs])
    last = next(s for s in points if runs[0] in s.runs)
    return replace(
        last,
        label=_without_coef(last.label),
        short=_without_coef(last.label),
        values={key: value for key, value in last.values.items() if key != COEF},
        runs=tuple(runs),
        copies=(),
        estimates={key: over_runs(*column(runs, key)) for key in last.estimates},
    )


def _without_coef(label: str) -> str:
    return re.sub(rf"(^| ){re.escape(COEF)}=\S+", "", label).strip() or ALONE


def independent(members: Sequence[tuple[Setting, Run]]) -> list[tuple[Setting, Run]]:
    """The runs with their settings, without the points that a later one of the same path has behind
    it."""
    kept = {run.directory for run in whole([run for _, run in members])}
    return [(s, run) for s, run in members if run.directory in kept]

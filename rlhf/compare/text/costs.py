"""What it took to get to a policy, in columns of tables: iterations, CPU time, responses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.compare.read import Curve, Run, place, value
from rlhf.compare.statistics import Setting, Study
from rlhf.metrics import CPU_SECONDS, ITERATIONS, KL, RESPONSES

# summary key -> its column
COLUMNS: Mapping[str, str] = {
    ITERATIONS: "iterations",
    CPU_SECONDS: "CPU seconds",
    RESPONSES: "responses",
}


def known(settings: Sequence[Setting]) -> list[str]:
    """The keys of the costs that a run of the settings has recorded."""
    return [key for key in COLUMNS if any(math.isfinite(s[key].mean) for s in settings)]


def shown(key: str, number: float) -> str:
    """A whole number, of few seconds with two digits; empty where it is not known."""
    if not math.isfinite(number):
        return ""
    return f"{number:.2g}" if key == CPU_SECONDS and number < 10 else f"{number:.0f}"


def lines(summary: Mapping[str, Any]) -> list[list[str]]:
    """[name, value] of each cost that a run has."""
    pairs = [(name, shown(key, value(summary, key))) for key, name in COLUMNS.items()]
    return [[name, text] for name, text in pairs if text]


def realigned(curve: Curve) -> str:
    """12 CPU seconds for all λ, after kl0.1-fixed-seed0-1a2b3c4d"""
    spent = curve.cpu_seconds
    alone = f"{shown(CPU_SECONDS, spent)} CPU seconds for all λ, " if math.isfinite(spent) else ""
    return f"{alone}after {curve.run.name}"


def reading(study: Study) -> str:
    """Says what the costs are of; empty where there is nothing to say."""
    if not known(study.settings):
        return ""
    paths = (
        " The points of one KL path are not independent of each other: each begins where the one"
        " before it ended, and costs what the path had cost until then; all of them together cost"
        " what the last did. A path counts as one seed."
    )
    cost = " Iterations, CPU seconds and responses are those of one run until its end."
    return cost + (paths if study.paths else "")


def realigned_rows(study: Study) -> list[dict[str, Any]]:
    """The lines of realigned.csv: a policy of a realigned run each."""
    return [
        {
            **{"setting": s.label, "after": curve.run.name, "seed": curve.run.config.get("seed")},
            **{"by": curve.by, "lambda": stop.share, "prompts": curve.prompts},
            **{
                name: number
                for key in (KL, *curve.rewards)
                for name, number in (
                    (key, stop.values.get(key, math.nan)),
                    (f"{key}_se", stop.errors.get(key, math.nan)),
                )
                if math.isfinite(number)
            },
            "curve_cpu_seconds": curve.cpu_seconds if math.isfinite(curve.cpu_seconds) else "",
        }
        for s, curve in study.realigned
        for stop in curve.stops
    ]


def path_cells(run: Run) -> dict[str, Any]:
    """Where on which path a run is, for runs.csv."""
    there = place(run)
    if there is None:
        return {}
    return {"path.run": there.path.name, "path.point": there.point, "path.points": there.points}

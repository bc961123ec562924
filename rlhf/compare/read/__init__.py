"""From files to values: runs, their curves, best of n, searches, what they stand on."""

from rlhf.compare.read.columns import value
from rlhf.compare.read.curves import (
    Evaluation,
    Kept,
    best_of_n,
    evaluations,
    final,
    final_se,
    rollouts,
    series,
)
from rlhf.compare.read.runs import (
    Run,
    fingerprints,
    inexact,
    load,
    manifests,
    revisions,
    shared,
    versions,
)
from rlhf.compare.read.searches import Crossing, Level, Search, Trial, named

__all__ = [
    "Crossing",
    "Evaluation",
    "Kept",
    "Level",
    "Run",
    "Search",
    "Trial",
    "best_of_n",
    "evaluations",
    "final",
    "final_se",
    "fingerprints",
    "inexact",
    "load",
    "manifests",
    "named",
    "revisions",
    "rollouts",
    "series",
    "shared",
    "value",
    "versions",
]

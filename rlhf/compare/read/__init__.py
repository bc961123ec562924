"""From files to values: runs, their curves, best of n, searches, what they stand on."""

from rlhf.compare.read.best_of_n import Curve, curve
from rlhf.compare.read.curves import Evaluation, evaluations, final, final_se, series, value
from rlhf.compare.read.provenance import fingerprints, manifests, revisions, shared, versions
from rlhf.compare.read.runs import Run, load
from rlhf.compare.read.searches import Crossing, Level, Search, Trial, named

__all__ = [
    "Crossing",
    "Curve",
    "Evaluation",
    "Level",
    "Run",
    "Search",
    "Trial",
    "curve",
    "evaluations",
    "final",
    "final_se",
    "fingerprints",
    "load",
    "manifests",
    "named",
    "revisions",
    "series",
    "shared",
    "value",
    "versions",
]

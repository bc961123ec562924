"""Best of n of the SFT policy, where it was measured: best_of_n.json of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf.compare.read.curves import value
from rlhf.compare.read.runs import Run
from rlhf.metrics import KL
from rlhf.rundir.read import read_json

FILE = "best_of_n.json"


@dataclass(frozen=True, kw_only=True)
class Point:
    n: int
    kl: float  # log n - (n - 1) / n, nats a response
    rewards: dict[str, float]  # by key, the unbiased estimate


@dataclass(frozen=True, kw_only=True)
class Curve:
    points: tuple[Point, ...]  # by n


def curve(runs: Sequence[Run]) -> Curve | None:
    """The first of the runs' curves; None where none was measured."""
    for run in runs:
        rows = [
            row
            for row in read_json(run.directory / FILE).get("points", ())
            if isinstance(row, dict) and isinstance(row.get("n"), int)
        ]
        if rows:
            return Curve(points=tuple(sorted((_point(row) for row in rows), key=lambda p: p.n)))
    return None


def _point(row: dict[str, object]) -> Point:
    rewards = {
        key: value(row, key) for key in row if key.startswith("reward/") and not key.endswith("_se")
    }
    return Point(n=int(str(row["n"])), kl=value(row, KL), rewards=rewards)

"""realign.json: what a run's policy is when it is mixed with the one that it started from, in some
share lambda: 0 is the start, 1 the run's own policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhf.compare.read.columns import value
from rlhf.compare.read.runs import Run
from rlhf.metrics import ENDED, KL, LENGTH
from rlhf.rundir.noted import REALIGN
from rlhf.rundir.read import number, read_json

EXACT = f"{KL}_exact"  # the sum over the vocabulary at each sampled prefix: less noise
OWN = (0.0, 1.0)  # the start and the run itself, which are no policies of their own


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A lambda of a curve. Numbers and their standard errors by key, as a summary has them; nan
    where they are not known."""

    share: float  # lambda
    values: Mapping[str, float]
    errors: Mapping[str, float]

    @property
    def own(self) -> bool:
        return self.share in OWN


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run's mixtures of one kind, by lambda."""

    run: Run
    by: str  # decoding: token by token; weights: of the parameters
    stops: tuple[Stop, ...]
    prompts: int  # held-out ones that each was measured on
    cpu_seconds: float  # of all its lambdas, beside what the run had cost

    @property
    def rewards(self) -> list[str]:
        return [key for key in self.stops[0].values if key.startswith("reward/")]


def curves(run: Run) -> list[Curve]:
    """The curves of a run; none where there is no file of them, or nothing in it can be read."""
    made = read_json(run.directory / REALIGN)
    spent = made.get("timings")
    seconds: Mapping[str, Any] = spent if isinstance(spent, dict) else {}
    known = []
    for curve in made.get("curves") or ():
        if not isinstance(curve, dict):
            continue
        rows = [row for row in curve.get("points") or () if isinstance(row, dict)]
        stops = sorted(filter(None, map(_stop, rows)), key=lambda stop: stop.share)
        if stops:
            by = str(curve.get("by"))
            count = int(number(made.get("prompts")) or 0)
            seen = value(seconds, by)
            known.append(Curve(run=run, by=by, stops=tuple(stops), prompts=count, cpu_seconds=seen))
    return known


def _stop(row: Mapping[str, Any]) -> Stop | None:
    share = number(row.get("lambda"))
    if share is None or not math.isfinite(share):
        return None
    kl = EXACT if math.isfinite(value(row, EXACT)) else KL
    keys = [key for key in row if key.startswith("reward/") and not key.endswith("_se")]
    keys += [key for key in (LENGTH, ENDED) if key in row]
    return Stop(
        share=share,
        values={KL: max(value(row, kl), 0.0), **{key: value(row, key) for key in keys}},
        errors={KL: value(row, f"{kl}_se"), **{key: value(row, f"{key}_se") for key in keys}},
    )

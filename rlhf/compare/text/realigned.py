"""The table of realigned policies: what a trained policy is when it is mixed with its start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from rlhf.compare.read import Curve, named
from rlhf.compare.statistics import Interval, Setting, Study, brief, interval
from rlhf.compare.text.costs import COLUMNS, realigned as cost_of, shown
from rlhf.compare.text.tables import grid
from rlhf.metrics import CPU_SECONDS, KL

Table = tuple[list[str], list[list[str]]]
Rows = Sequence[tuple[Setting, Sequence[Curve], float]]
BY = {"decoding": "while decoding", "weights": "of the weights"}
READING = (
    "A policy mixed with the SFT policy that it started from, in the share λ: while decoding, token"
    " by token (the logits of SFT and λ times what training added to them), or of the weights"
    " (1 - λ times SFT's and λ times its own). Nothing is trained for it: a curve costs its CPU"
    " time, for all λ together, after the run. ± is half of the 95 % confidence interval, over"
    " seeds, or of the evaluation alone where there is one."
)


def rows(study: Study) -> list[tuple[Setting, list[Curve], float]]:
    """(setting, the curves of its runs of one kind, a lambda that they have), in their order."""
    kinds: dict[tuple[str, str], list[tuple[Setting, Curve]]] = {}
    for s, curve in study.realigned:
        kinds.setdefault((s.label, curve.by), []).append((s, curve))
    return [
        (those[0][0], [curve for _, curve in those], share)
        for those in kinds.values()
        for share in sorted({stop.share for _, curve in those for stop in curve.stops})
    ]


def at(curves: Sequence[Curve], share: float, key: str) -> Interval:
    """A number at one lambda over the runs that have it."""
    stops = [stop for curve in curves for stop in curve.stops if stop.share == share]
    return interval(
        [stop.values.get(key, math.nan) for stop in stops],
        [stop.errors.get(key, math.nan) for stop in stops],
    )


def table(study: Study) -> Table:
    """A line a setting, kind and lambda; means over the runs."""
    every = rows(study)
    keys = [key for key in study.rewards if any(key in c.rewards for _, c in study.realigned)]
    head = ["setting", "λ", "mixed", "runs", "KL (nats)", *map(named, keys)]
    return [*head, COLUMNS[CPU_SECONDS], "after"], [
        [
            s.label,
            f"{share:g}",
            BY.get(curves[0].by, curves[0].by),
            str(sum(any(stop.share == share for stop in c.stops) for c in curves)),
            *(brief(at(curves, share, key)) for key in (KL, *keys)),
            _seconds(curves),
            _after(curves),
        ]
        for s, curves, share in every
    ]


def markdown(study: Study) -> str:
    return f"## Realigned\n\n{grid(*table(study))}\n\n{READING}" if study.realigned else ""


def tips(curve: Curve, setting: str, share: float) -> tuple[str, list[list[str]]]:
    """What a mark of a curve says: its title, and [name, value] of each number."""
    stop = next(stop for stop in curve.stops if stop.share == share)
    numbers: Mapping[str, str] = {
        "KL, nats" if key == KL else named(key): brief(at([curve], share, key))
        for key in (KL, *curve.rewards)
        if math.isfinite(stop.values.get(key, math.nan))
    }
    title = f"{setting}, λ {share:g} {BY.get(curve.by, curve.by)}"
    return title, [[name, text] for name, text in numbers.items()] + [["cost", cost_of(curve)]]


def _seconds(curves: Sequence[Curve]) -> str:
    spent = [c.cpu_seconds for c in curves if math.isfinite(c.cpu_seconds)]
    return shown(CPU_SECONDS, fmean(spent)) if spent else ""


def _after(curves: Sequence[Curve]) -> str:
    more = f" and {len(curves) - 1} more" if len(curves) > 1 else ""
    return curves[0].run.name + more

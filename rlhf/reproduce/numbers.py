"""Two runs number by number: bitwise equal, or off by how much and from which iteration."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from operator import itemgetter
from pathlib import Path
from typing import Any

from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import number

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MetricComparison:
    """One metric over the iterations that both sides have. A number that one side lacks is as
    different as can be (inf)."""

    name: str
    compared: int  # iterations at which either side has it
    differing: int
    first: int | None  # the first iteration at which it differs
    max_abs: float  # max |now - then|
    max_rel: float  # max |now - then| / max(|then|, |now|)

    @property
    def equal(self) -> bool:
        return self.first is None


@dataclass(frozen=True, kw_only=True)
class SampleComparison:
    rows: int
    differing: int
    first: int | None  # iteration


@dataclass(frozen=True, kw_only=True)
class WeightComparison:
    """`equal` by sha256 of the file; `max_abs` where the files differ and both are there in one
    shape."""

    equal: bool
    then: str
    now: str
    max_abs: float | None = None


def same(then: Any, now: Any) -> bool:
    """Bitwise: JSON writes the shortest decimal that gives a double back, so equal texts are
    equal bits (and -0.0 is not 0.0)."""
    return json.dumps(then, sort_keys=True) == json.dumps(now, sort_keys=True)


def gap(then: Any, now: Any) -> tuple[float, float]:
    """(|now - then|, the same over the larger of the two); inf where one is missing, nan or
    infinite and the other not the same."""
    if same(then, now):
        return 0.0, 0.0
    a, b = number(then), number(now)
    if a is None or b is None or not (math.isfinite(a) and math.isfinite(b)):
        return math.inf, math.inf
    distance = abs(b - a)
    return distance, distance / (max(abs(a), abs(b)) or 1.0)


def by_iteration(directory: Path) -> dict[int, Row]:
    return {row["iteration"]: row for row in read_jsonl(directory / "metrics.jsonl")}


def compare_metrics(
    then: Mapping[int, Row], now: Mapping[int, Row]
) -> tuple[MetricComparison, ...]:
    """Every metric at every iteration that both have; `then` gives the order."""
    shared = [iteration for iteration in then if iteration in now]
    names = dict.fromkeys(
        name for i in shared for name in [*then[i], *now[i]] if name != "iteration"
    )
    return tuple(
        _metric(
            name,
            {
                i: (then[i].get(name), now[i].get(name))
                for i in shared
                if name in then[i] or name in now[i]
            },
        )
        for name in names
    )


def _metric(name: str, pairs: Mapping[int, tuple[Any, Any]]) -> MetricComparison:
    off = {i: gap(*pair) for i, pair in pairs.items() if not same(*pair)}
    return MetricComparison(
        name=name,
        compared=len(pairs),
        differing=len(off),
        first=min(off, default=None),
        max_abs=max((distance for distance, _ in off.values()), default=0.0),
        max_rel=max((relative for _, relative in off.values()), default=0.0),
    )


def compare_samples(
    then: Sequence[Row], now: Sequence[Row], shared: Sequence[int]
) -> SampleComparison | None:
    """The samples of the iterations that both have, in their order. None if there are none on
    either side."""
    sides = [
        {i: [*rows] for i, rows in groupby(side, itemgetter("iteration"))} for side in (then, now)
    ]
    off: list[int] = []
    rows = 0
    for i in shared:
        # None stands beside a row that the other side lacks
        pairs = [*zip_longest(*(side.get(i, ()) for side in sides))]
        rows += len(pairs)
        off += [i for pair in pairs if not same(*pair)]
    if not rows:
        return None
    return SampleComparison(rows=rows, differing=len(off), first=min(off, default=None))


def compare_weights(
    then: str | None, now: str | None, files: tuple[Path, Path]
) -> WeightComparison | None:
    """By digest; None if one side has no weights (it did not get that far, or they were
    deleted)."""
    if then is None or now is None:
        return None
    step = None if then == now else _largest_step(*files)
    return WeightComparison(equal=then == now, then=then, now=now, max_abs=step)


def _largest_step(then: Path, now: Path) -> float | None:
    if not (then.is_file() and now.is_file()):
        return None
    from safetensors import safe_open

    with safe_open(then, framework="pt") as a, safe_open(now, framework="pt") as b:  # type: ignore[no-untyped-call]
        names = set(a.keys())
        if names != set(b.keys()) or any(
            a.get_slice(n).get_shape() != b.get_slice(n).get_shape() for n in names
        ):
            return None
        steps = ((a.get_tensor(n).double() - b.get_tensor(n).double()).abs() for n in names)
        return max((float(step.max()) for step in steps if step.numel()), default=0.0)

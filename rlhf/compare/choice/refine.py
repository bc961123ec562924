"""The command that puts a point between two of a KL path."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rlhf.compare.choice.candidates import Candidate
from rlhf.compare.read import Run, final, place, value
from rlhf.config.naming import number
from rlhf.metrics import KL
from rlhf.rundir.secrets.redact import redact_override

CLOSE = 0.1  # of a KL: two points nearer than that leave nothing to refine
DIGITS = 4  # significant ones of a coefficient
# settings that the command gives itself: those of where a path goes, not of how
OWN = ("kl.coef", "kl/controller", *(f"kl.controller.{key}" for key in ("start", "points", "grid")))


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Between `low` and `high` nats, at `coef`, which goes on from the point before it."""

    low: float
    high: float
    coef: float
    command: str
    whole: bool  # False: the settings of the path itself are not known, and stand before it
    seed: Any  # of the path


def refinement(
    chosen: Candidate, paths: Sequence[Sequence[Run]], target: float = math.nan
) -> Refinement | None:
    """A new point of a path: where the target lies between two of its points, or without one
    between the chosen one and the next. None where the points, or the chosen one and the target,
    are close; without a target also off a path and at its end. `target`: nats that were asked for,
    nan for none."""
    if abs(chosen.mean(KL) - target) <= CLOSE * target:
        return None
    own = {p.run.directory for p in chosen.policies if chosen.share is None}
    ways = sorted(paths, key=lambda way: not any(run.directory in own for run in way))
    for way in ways:
        k = _around(way, target) if math.isfinite(target) else _after(way, own)
        if k is not None and (new := _between(way, k, target)) is not None:
            return new
    return None


def _between(way: Sequence[Run], k: int, target: float) -> Refinement | None:
    """A point between the k-th and the next; None where no coefficient is between theirs."""
    (low, upper), (high, lower) = ((final(run, KL), _coefs(run)[-1]) for run in way[k : k + 2])
    coef = _coef((low, upper), (high, lower), target)
    if not min(lower, upper) < coef < max(lower, upper):
        return None
    command, whole = _words(way[-1], [*_coefs(way[k]), coef])
    seed = way[-1].config.get("seed")
    return Refinement(low=low, high=high, coef=coef, command=command, whole=whole, seed=seed)


def _coefs(run: Run) -> list[float]:
    """The coefficients of a path until this point of it."""
    there, grid = place(run), run.config.get("kl.controller.grid")
    last = value(run.summary, "kl.coef")
    if there is None or not isinstance(grid, list) or len(grid) <= there.point:
        return [last]
    return [*map(float, grid[: there.point]), last]


def _around(way: Sequence[Run], kl: float) -> int | None:
    """The point before which the KL is still below `kl` and after which above it."""
    kls = [final(run, KL) for run in way]
    pairs = enumerate(pairwise(kls))
    return next((k for k, (a, b) in pairs if a < kl < b and min(kl - a, b - kl) > CLOSE * kl), None)


def _after(way: Sequence[Run], own: Collection[Path]) -> int | None:
    k = next((k for k, run in enumerate(way) if run.directory in own), len(way))
    if k + 1 >= len(way):
        return None
    a, b = final(way[k], KL), final(way[k + 1], KL)
    return k if b - a > CLOSE * b else None


def _coef(a: tuple[float, float], b: tuple[float, float], kl: float) -> float:
    """The coefficient of a KL between two (KL, coefficient), straight in their logarithms; the
    geometric mean where there is none to aim at, or a KL is 0."""
    (low, upper), (high, lower) = a, b
    share = 0.5
    if math.isfinite(kl) and low > 0:
        share = math.log(kl / low) / math.log(high / low)
    if lower <= 0:  # a path may end at 0
        return float(f"{upper * (1 - share):.{DIGITS}g}")
    return float(f"{upper ** (1 - share) * lower**share:.{DIGITS}g}")


def _words(last: Run, grid: Sequence[float]) -> tuple[str, bool]:
    """The command, and whether it is whole: a run that is no job of a sweep did not keep its."""
    shown = f"[{','.join(map(number, grid))}]"
    own = ["kl/controller=path", f"kl.coef={number(grid[-1])}", f"kl.controller.grid={shown}"]
    kept = [o for o in last.overrides if o.lstrip("+~").partition("=")[0] not in OWN]
    words = [shlex.quote(redact_override(str(o))) for o in kept]
    return " ".join(["rlhf", *words, *map(shlex.quote, own)]), bool(kept)

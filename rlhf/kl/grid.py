"""The coefficients of a path, and how long each may be held. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

DIGITS = 4  # significant ones of a coefficient between the two ends of a geometric grid


def grid_of(
    coef: float,
    *,
    grid: Sequence[float] | None = None,
    start: float | None = None,
    points: int | None = None,
) -> tuple[float, ...]:
    """The coefficients of a path that ends at `coef`: those of `grid`, where it is given, else
    `points` of them, start (coef / start)^(k / (points - 1)) for k = 0 .. points - 1, those between
    the ends rounded to 4 significant digits. (0.5, 0.01, 3) -> 0.5, 0.07071, 0.01

    Raises:
        ValueError: it is no path, with one sentence that says why.
    """
    if not (math.isfinite(coef) and coef >= 0):
        raise ValueError(f"coef must be a finite number of at least 0, got {coef}")
    if grid is not None:
        return _given(coef, tuple(map(float, grid)))
    if start is None or points is None:
        raise ValueError("a path needs a grid, or start and points")
    if points < 2:
        raise ValueError(f"points={points}: a path from start to kl.coef has at least 2 points")
    if coef == 0:
        raise ValueError(
            "kl.coef=0: no geometric path ends at 0; end it above, or give the grid itself"
        )
    if not (math.isfinite(start) and start > coef):
        raise ValueError(
            f"start={start:g} must be above kl.coef={coef:g}, where the path ends; a path upwards"
            " is given by its grid"
        )
    made = [float(start)]
    for k in range(1, points):
        between = f"{start * (coef / start) ** (k / (points - 1)):.{DIGITS}g}"
        made.append(float(coef) if k == points - 1 else float(between))
        if made[k] >= made[k - 1]:  # at once: of far too many points, none lie in memory
            raise ValueError(
                f"points={points} from start={start:g} to kl.coef={coef:g}: some would be the same"
                f" in {DIGITS} significant digits; take fewer points"
            )
    return tuple(made)


def _given(coef: float, grid: tuple[float, ...]) -> tuple[float, ...]:
    if not grid:
        raise ValueError("grid is empty: a path has at least one coefficient, kl.coef")
    if not all(math.isfinite(each) and each >= 0 for each in grid):
        raise ValueError(f"grid={_shown(grid)}: coefficients are finite numbers of at least 0")
    if not (_falls(grid) or _falls(grid[::-1])):
        raise ValueError(
            f"grid={_shown(grid)}: the coefficients of a path fall from each to the next (or rise,"
            " each)"
        )
    if grid[-1] != coef:
        raise ValueError(
            f"grid={_shown(grid)} ends at {grid[-1]:g}, and kl.coef={coef:g}: a path ends at"
            f" kl.coef; set kl.coef={grid[-1]:g}, or add {coef:g} to the grid"
        )
    return grid


def _falls(grid: Sequence[float]) -> bool:
    return all(before > after for before, after in pairwise(grid))


def _shown(grid: Sequence[float]) -> str:
    return f"[{','.join(f'{each:g}' for each in grid)}]"


def iterations_at(point: int, iterations: int, shrink: float = 1.0) -> int:
    """The most iterations of a point, from 0: `iterations` at the first, `shrink` times as many at
    each that follows, 1 at least. (2, 100, 0.7) -> 49"""
    return max(1, round(iterations * shrink**point))


def most_iterations(points: int, iterations: int, warmup: int, shrink: float = 1.0) -> int:
    """Of a whole path: those of its points at most, after the `warmup` of the values."""
    return warmup + sum(iterations_at(point, iterations, shrink) for point in range(points))

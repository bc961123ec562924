"""Where to measure a noisy monotone curve next so that it meets a target, and the answer. Pure
arithmetic.

KL against the coefficient is close to a straight line in logarithms (on the scales where it is
asked for), so a secant in log-log steps inside the bracket, kept off its ends; a point is good
enough when it is within the tolerance or within its own standard error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EDGE = 0.1  # a new point keeps this share of the bracket from its ends


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    error: float  # standard error of y


class NoBracket(ValueError):
    """The target lies outside what the ends give."""


def good(point: Point, target: float, tolerance: float) -> bool:
    """tolerance: a share of the target."""
    return abs(point.y - target) <= max(tolerance * target, point.error)


def nearest(points: Sequence[Point], target: float) -> Point:
    """The measured point closest to the target, as a ratio."""
    return min(points, key=lambda point: abs(_log(point.y) - _log(target)))


def propose(points: Sequence[Point], low: float, high: float, target: float) -> list[float]:
    """The points to measure next: both ends first, then one.

    Raises:
        NoBracket: both ends are on one side of the target.
    """
    ends = [x for x in (low, high) if all(point.x != x for point in points)]
    if ends:
        return ends
    first, last = (next(point for point in points if point.x == x) for x in (low, high))
    sign = 1.0 if last.y >= first.y else -1.0
    if not min(first.y, last.y) <= target <= max(first.y, last.y):
        raise NoBracket(
            f"from {first.y:.3g} at {low:g} to {last.y:.3g} at {high:g}: {target:g} is not between;"
            " widen the interval"
        )
    below = max(
        (point for point in points if sign * (point.y - target) <= 0), key=lambda point: point.x
    )
    above = min(
        (point for point in points if sign * (point.y - target) > 0), key=lambda point: point.x
    )
    left, right = sorted((below, above), key=lambda point: point.x)  # noise may have crossed them
    a, b = math.log(left.x), math.log(right.x)
    slope = (_log(right.y) - _log(left.y)) / (b - a)
    share = (_log(target) - _log(left.y)) / slope / (b - a) if slope else 0.5
    return [math.exp(a + min(max(share, EDGE), 1 - EDGE) * (b - a))]


def _log(value: float) -> float:
    """An estimate of a KL near 0 may come out negative."""
    return math.log(max(value, 1e-3))

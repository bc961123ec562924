"""`hydra/sweeper=find`: the value of one setting at which a number of the summary meets a target.

The number is a noisy monotone curve of the setting. KL against the coefficient is close to a
straight line in logarithms (on the scales where it is asked for), so a secant in log-log steps
inside the bracket, kept off its ends; a point is good enough when it is within the tolerance or
within its own standard error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

from hydra.errors import HydraException
from omegaconf import DictConfig

from rlhf.rundir.files import write_json
from rlhf.sweeps.screen.table import say
from rlhf.sweeps.searches.base import SearchSweeper, Trial, expect
from rlhf.sweeps.searches.space import Dimension

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


class FindSweeper(SearchSweeper):
    """One interval is searched; every combination of the other sweeps (seeds, say) is run at each
    of its points, and averaged. Combinations that are the same run count once.

    Args:
        objective: a key of summary.json, monotone in the setting.
        target: what it shall be, above 0.
        tolerance: how close is close enough, a share of the target; a point within its own standard
            error is close enough too.
        n_points: measured at most.
    """

    def __init__(
        self,
        objective: str,
        target: float,
        tolerance: float,
        n_points: int,
        params: DictConfig | dict[str, str] | None = None,
    ) -> None:
        super().__init__(params)
        numbers = (int, float)
        expect(isinstance(target, numbers) and target > 0, "target", target, "a number above 0")
        expect(
            isinstance(tolerance, numbers) and tolerance >= 0,
            "tolerance",
            tolerance,
            "a number of at least 0",
        )
        expect(
            isinstance(n_points, int) and n_points >= 3,
            "n_points",
            n_points,
            "at least 3; two of them are the ends",
        )
        self.objective, self.n_points = objective, n_points
        self.target, self.tolerance = float(target), float(tolerance)

    def search(self, fixed: list[str], dimensions: list[Dimension]) -> None:
        searched = [dimension for dimension in dimensions if not dimension.choices]
        if len(searched) != 1 or not searched[0].log:
            raise HydraException(
                "this search varies one setting, as 'kl.coef=tag(log, interval(0.01, 1))'; lists"
                " beside it are averaged"
            )
        (setting,) = searched
        others = [[f"{d.key}={choice}" for choice in d.choices] for d in dimensions if d.choices]
        grid = [[*fixed, *lines] for lines in itertools.product(*others)]
        say(
            self.console,
            f"search in {self.directory}: {setting.key} from {setting.low:g} to {setting.high:g}"
            f" for {self.objective} = {self.target:g}",
        )
        points: list[Point] = []
        why = f"{self.n_points} points were measured"
        while len(points) < self.n_points and not any(map(self._good, points)):
            try:
                proposed = propose(points, setting.low, setting.high, self.target)
            except NoBracket as error:
                why = str(error)
                break
            lines = [
                line
                for line in map(setting.line, proposed)
                if all(point.x != _value(line) for point in points)
            ]
            if not lines:
                why = "the next value is the last one"
                break
            points += self._measure(lines, grid)
            self._write(setting.key, points)
        best = self._best(points)
        answer = (
            f"{setting.key}={best.x!r} gives {self.objective} {best.y:.3g}"
            f" (standard error {best.error:.2g}, target {self.target:g})"
        )
        if not self._good(best):
            raise self.unanswered(f"not found: {why}; the nearest, {answer}")
        say(self.console, f"{answer}\n{self.directory / 'find.json'}")

    def _measure(self, lines: Sequence[str], grid: Sequence[Sequence[str]]) -> list[Point]:
        """A point for each value of the setting: every combination of the grid is run there."""
        ended = iter(self.run([[*own, line] for line in lines for own in grid]))
        points = []
        for line in lines:
            distinct = {trial.run: trial for trial in itertools.islice(ended, len(grid))}
            point = self._point(_value(line), list(distinct.values()))
            again = len(grid) - len(distinct)
            note = (
                f"; {again} of the {len(grid)} runs there would be the same run again, and a"
                " run counts once"
                if again
                else ""
            )
            error = f" (standard error {point.error:.2g})"
            say(self.console, f"{line}: {self.objective} {point.y:.3g}{error}{note}")
            points.append(point)
        return points

    def _good(self, point: Point) -> bool:
        return good(point, self.target, self.tolerance)

    def _best(self, points: Sequence[Point]) -> Point:
        """The nearest of the good points, of all points if none is good."""
        return nearest(list(filter(self._good, points)) or points, self.target)

    def _point(self, x: float, trials: Sequence[Trial]) -> Point:
        try:
            values = [trial.number(self.objective) for trial in trials]
            errors = [
                trial.number(f"{self.objective}_se")
                for trial in trials
                if f"{self.objective}_se" in (trial.summary or {})
            ]
        except ValueError as error:
            raise self.unanswered(f"the search stops here: {error}") from None
        n = len(values)
        within = math.sqrt(sum(error**2 for error in errors)) / n
        return Point(x, fmean(values), max(within, stdev(values) / math.sqrt(n) if n > 1 else 0.0))

    def _write(self, key: str, points: Sequence[Point]) -> None:
        best = self._best(points)
        write_json(
            self.directory / "find.json",
            {
                "name": self.directory.name,
                "setting": key,
                "objective": self.objective,
                "target": self.target,
                "tolerance": self.tolerance,
                "found": best.x if self._good(best) else None,
                "nearest": asdict(best),
                "points": [asdict(point) for point in points],
            },
        )


def _value(line: str) -> float:
    return float(line.partition("=")[2])

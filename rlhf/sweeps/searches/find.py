"""`hydra/sweeper=find`: the value of one setting at which a number of the summary meets a
target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, stdev

from hydra.errors import HydraException
from omegaconf import DictConfig

from rlhf.rundir.files import write_json
from rlhf.sweeps.searches.base import SearchSweeper, Trial, expect
from rlhf.sweeps.searches.root_finding import NoBracket, Point, good, nearest, propose
from rlhf.sweeps.searches.space import Dimension


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
        self.say(
            f"search in {self.directory}: {setting.key} from {setting.low:g} to {setting.high:g}"
            f" for {self.objective} = {self.target:g}"
        )
        points: list[Point] = []
        why = f"{self.n_points} points were measured"
        while len(points) < self.n_points and not any(map(self._good, points)):
            try:
                proposed = propose(points, setting.low, setting.high, self.target)
            except NoBracket as error:
                why = str(error)
                break
            measured = [point.x for point in points]
            lines = [line for line in map(setting.line, proposed) if _value(line) not in measured]
            if not lines:
                why = "the next value is the last one"
                break
            points += self._measure(lines, grid)
            self._write(setting.key, points)
        best = self._best(points)
        answer = (
            f"{setting.key}={best.x!r} gives {self.objective} {best.y:.3g} ± {best.error:.2g}"
            f" (target {self.target:g})"
        )
        if not self._good(best):
            raise self.unanswered(f"not found: {why}; the nearest, {answer}")
        self.say(f"{answer}\n{self.directory / 'find.json'}")

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
            self.say(f"{line}: {self.objective} {point.y:.3g} ± {point.error:.2g}{note}")
            points.append(point)
        return points

    def _good(self, point: Point) -> bool:
        return good(point, self.target, self.tolerance)

    def _best(self, points: Sequence[Point]) -> Point:
        """The nearest of the good points, of all points if none is good."""
        return nearest(list(filter(self._good, points)) or points, self.target)

    def _point(self, x: float, trials: Sequence[Trial]) -> Point:
        """
        Raises:
            JobFailed: a run of this point has no result.
        """
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

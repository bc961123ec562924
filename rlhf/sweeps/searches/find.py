"""`hydra/sweeper=find`: the value of one setting at which a number of the summary meets a
target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from rlhf.rundir.files import write_json
from rlhf.sweeps.searches.base import SearchSweeper, Trial
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
        if not isinstance(target, (int, float)) or not target > 0:
            raise ValueError(f"hydra.sweeper.target={target}: expected a number above 0")
        if not isinstance(tolerance, (int, float)) or not tolerance >= 0:
            raise ValueError(
                f"hydra.sweeper.tolerance={tolerance}: expected a number of at least 0"
            )
        if not isinstance(n_points, int) or n_points < 3:
            raise ValueError(
                f"hydra.sweeper.n_points={n_points}: expected at least 3; two of them are the ends"
            )
        self.objective, self.target, self.tolerance, self.n_points = (
            objective,
            float(target),
            float(tolerance),
            n_points,
        )

    def search(self, fixed: list[str], dimensions: list[Dimension]) -> None:
        searched = [dimension for dimension in dimensions if not dimension.choices]
        if len(searched) != 1 or not searched[0].log:
            raise HydraException(
                "this search varies one setting, as 'kl.coef=tag(log, interval(0.01, 1))'; lists"
                " beside it are averaged"
            )
        (found,) = searched
        others = [[f"{d.key}={choice}" for choice in d.choices] for d in dimensions if d.choices]
        grid = [list(lines) for lines in itertools.product(*others)]
        self.say(
            f"search in {self.directory}: {found.key} from {found.low:g} to {found.high:g} for"
            f" {self.objective} = {self.target:g}"
        )
        points: list[Point] = []
        why = f"{self.n_points} points were measured"
        while len(points) < self.n_points and not any(
            good(point, self.target, self.tolerance) for point in points
        ):
            try:
                lines = [found.line(x) for x in propose(points, found.low, found.high, self.target)]
            except NoBracket as error:
                why = str(error)
                break
            wanted = [line for line in lines if all(_value(line) != point.x for point in points)]
            if not wanted:
                why = "the next value is the last one"
                break
            ended = self.run([[*fixed, *own, line] for line in wanted for own in grid])
            for index, line in enumerate(wanted):
                trials = ended[index * len(grid) : (index + 1) * len(grid)]
                distinct = list({trial.run: trial for trial in trials}.values())
                points.append(self._point(_value(line), distinct))
                again = len(trials) - len(distinct)
                note = (
                    f"; {again} of the {len(trials)} runs there would be the same run again, and a"
                    " run counts once"
                    if again
                    else ""
                )
                self.say(
                    f"{line}: {self.objective} {points[-1].y:.3g} ± {points[-1].error:.2g}{note}"
                )
            self._write(found.key, points)
        best = self._best(points)
        told = (
            f"{found.key}={best.x!r} gives {self.objective} {best.y:.3g} ± {best.error:.2g} (target"
            f" {self.target:g})"
        )
        if not good(best, self.target, self.tolerance):
            raise self.unanswered(f"not found: {why}; the nearest, {told}")
        self.say(f"{told}\n{self.directory / 'find.json'}")

    def _best(self, points: Sequence[Point]) -> Point:
        """The nearest of the good points, of all points if none is good."""
        return nearest(
            [point for point in points if good(point, self.target, self.tolerance)] or points,
            self.target,
        )

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
        head: dict[str, Any] = {
            "name": self.directory.name,
            "setting": key,
            "objective": self.objective,
        }
        head |= {"target": self.target, "tolerance": self.tolerance}
        done = {
            "found": best.x if good(best, self.target, self.tolerance) else None,
            "nearest": asdict(best),
        }
        write_json(
            self.directory / "find.json",
            {**head, **done, "points": [asdict(point) for point in points]},
        )


def _value(line: str) -> float:
    return float(line.partition("=")[2])

"""A path: one run whose coefficient goes through a grid, each point held until it has settled. No
torch.

Statistics has whole regularisation paths by warm starts from the strongest penalty down (Friedman,
Hastie, Tibshirani 2010, "Regularization Paths for Generalized Linear Models via Coordinate
Descent", 2.5; scikit-learn `enet_path`). Here each coefficient begins with the policy that the one
before ended with.

What happens at a point depends on nothing that comes after it: a path that is cut short after point
k gives the same numbers until there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

from rlhf.kl.controller import Controller, Unit
from rlhf.kl.grid import grid_of, iterations_at
from rlhf.kl.properties import CONTROLLERS


def change(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """(difference, its standard error): the mean of the later half of the values less that of the
    earlier half, h values each with the errors s_i: sqrt(sum_i s_i^2) / h. Their number is even."""
    half = len(values) // 2
    difference = (math.fsum(values[half:]) - math.fsum(values[:half])) / half
    return difference, math.sqrt(math.fsum(error * error for error in errors)) / half


class Path(Controller):
    """Goes through `grid`; each point is held for `at_least` rollouts and until it has settled, and
    for `iterations` at most, of which each next point has `shrink` times as many (`iterations_at`).

    Settled: of the last `window` rollouts at the point, neither the KL in nats per response nor the
    objective, score - coef * KL, has moved: the mean of the later half is within `tolerance`
    standard errors (`change`) of that of the earlier half. With tolerance = 0 every point is held
    to the last of its iterations.

    `coef` is that of the point that the last update ended until `begin` is called, with the next
    rollout: what is measured at a point's end is measured under its own coefficient.
    """

    properties = CONTROLLERS["path"]

    def __init__(
        self,
        coef: float,
        *,
        iterations: int,
        at_least: int,
        window: int,
        tolerance: float,
        grid: Sequence[float] | None = None,
        start: float | None = None,
        points: int | None = None,
        shrink: float = 1.0,
        restart_lr: bool = False,
        keep_optimizer: bool = True,
        keep_values: bool = True,
    ) -> None:
        super().__init__(coef)
        self.grid = grid_of(coef, grid=grid, start=start, points=points)
        for name, value, least in (("iterations", iterations, 1), ("at_least", at_least, 1)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if window < 2 or window % 2:
            raise ValueError(f"window must be an even number of at least 2, got {window}")
        if not (math.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"tolerance must be a finite number of at least 0, got {tolerance}")
        if not 0 < shrink <= 1:
            raise ValueError(f"shrink must be above 0 and at most 1, got {shrink}")
        self.iterations, self.at_least, self.shrink = iterations, at_least, shrink
        self.window, self.tolerance = window, tolerance
        self.restart_lr = restart_lr
        self.keep_optimizer, self.keep_values = keep_optimizer, keep_values
        self.passed = 0  # points that have ended
        self.held = 0  # rollouts of the point that has not
        self.measured: deque[tuple[float, ...]] = deque(maxlen=window)  # the last ones of it
        self.record: dict[str, float] = {"path/point": 0, "path/held": 0}  # of the last update
        self.coef = self.grid[0]

    @property
    def point(self) -> int:
        """The index of the next rollout's coefficient; at the end that of the last one."""
        return min(self.passed, len(self.grid) - 1)

    @property
    def most(self) -> int:
        """The most iterations of the point that has not ended."""
        return iterations_at(self.point, self.iterations, self.shrink)

    @property
    def ended(self) -> int | None:
        """The index of the point that the last update ended, if it ended one."""
        return self.passed - 1 if self.passed and not self.held else None

    @property
    def done(self) -> bool:
        """Whether the last point has ended."""
        return self.passed == len(self.grid)

    def begin(self) -> bool:
        """Says that the next rollout begins: its coefficient is in force from now on. True where it
        is the first of another point than the one before."""
        self.coef = self.grid[self.point]
        return self.ended is not None and not self.done

    def update(
        self,
        sequence_nats: float,
        episodes: int,
        *,
        unit: Unit = "sequence",
        error: float = math.nan,
        objective: float = math.nan,
        objective_error: float = math.nan,
    ) -> None:
        """The last rollout's KL and objective with their standard errors. Numbers that are not
        finite leave the point unsettled.

        Raises:
            ValueError: a KL in the other unit, or no point is left.
        """
        if unit != "sequence":
            raise ValueError(f"Path settles by nats per sequence, got a KL in nats per {unit}")
        if self.done:
            raise ValueError("the last point of the path has ended")
        self.held += 1
        self.measured.append((sequence_nats, error, objective, objective_error))
        self.record = {"path/point": self.passed, "path/held": self.held}
        if self._is_settled() or self.held >= self.most:
            self.passed, self.held = self.passed + 1, 0
            self.measured.clear()

    def _is_settled(self) -> bool:
        if len(self.measured) < self.window:
            return False
        kl, error, objective, objective_error = zip(*self.measured, strict=True)
        changes = {"kl": change(kl, error), "objective": change(objective, objective_error)}
        for name, (moved, its_error) in changes.items():
            if math.isfinite(moved) and math.isfinite(its_error):
                self.record |= {
                    f"path/{name}_change": moved,
                    f"path/{name}_change_se": its_error,
                }
        enough = self.tolerance > 0 and self.held >= self.at_least
        return enough and all(abs(moved) <= self.tolerance * e for moved, e in changes.values())

    def state_dict(self) -> dict[str, Any]:
        """Nothing in it depends on the points to come: a path that goes on where another ended
        takes its state over."""
        return {
            "passed": self.passed,
            "held": self.held,
            "measured": [list(numbers) for numbers in self.measured],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Raises:
            ValueError: it is the state of another kind of controller, or of a longer path.
        """
        if state.keys() != {"passed", "held", "measured"}:
            raise ValueError(f"Path has the state passed, held, measured, got {sorted(state)}")
        if state["passed"] > len(self.grid):
            raise ValueError(
                f"the state of a path that has gone through {state['passed']} points, and this one"
                f" has {len(self.grid)}"
            )
        self.passed, self.held = state["passed"], state["held"]
        self.measured = deque(map(tuple, state["measured"]), maxlen=self.window)
        self.coef = self.grid[self.point if self.ended is None else self.ended]

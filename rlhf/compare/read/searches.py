"""What a search in a compared directory came to: optuna.json (hydra/sweeper=optuna) and
find.json (hydra/sweeper=find), as data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.compare.read.curves import KL, value
from rlhf.compare.read.places import is_run
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.estimates import Estimate
from rlhf.compare.statistics.findings import show
from rlhf.rundir.read import number, read_json
from rlhf.rundir.redact import redact_text, redact_value

CUT = "cut and asked for again"
STATES = {
    "complete": "complete",
    "fail": "failed",
    "pruned": "pruned",
    "running": "running",
    "waiting": "waiting",
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    state: str  # one of STATES' values, or CUT
    params: dict[str, str]  # as text, numbers to the digits that runs are named with
    values: dict[str, float]  # by objective; empty without a result
    front: bool  # no other trial beats it in one objective without losing in another
    name: str  # of its run, "" if it never had one
    run: Run | None  # None also for one of another computer on the same storage
    error: str

    @property
    def title(self) -> str:
        return f"trial {self.number}: {', '.join(f'{k}={v}' for k, v in self.params.items())}"

    def shown(self, objective: str) -> str:
        """A value with the noise of its evaluation, where the run says it."""
        se = value(self.run.summary, f"{objective}_se") if self.run is not None else math.nan
        return show(Estimate(self.values.get(objective, math.nan), math.nan, se, 1))


@dataclass(frozen=True, kw_only=True)
class Search:
    name: str
    goals: dict[str, bool]  # objective, a key of summary.json -> whether more of it is better
    asked: int  # trials, those that were cut not counted
    trials: tuple[Trial, ...]

    @property
    def front(self) -> list[Trial]:
        """By the last objective, the best first."""
        *_, last = self.goals
        sign = -1 if self.goals[last] else 1
        return sorted((t for t in self.trials if t.front), key=lambda t: sign * t.values[last])

    @property
    def failed(self) -> list[Trial]:
        return [t for t in self.trials if t.state == STATES["fail"]]

    @property
    def valued(self) -> list[Trial]:
        return [t for t in self.trials if t.values]


@dataclass(frozen=True, kw_only=True)
class Level:
    """What the search measured at one value of the setting, a mean over `runs`."""

    x: float
    y: float
    error: float  # standard error of y
    runs: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A search for the value at which a curve meets a target."""

    name: str
    setting: str
    objective: str
    target: float
    tolerance: float  # a share of the target; nan where it was not recorded
    found: bool
    nearest: Level
    levels: tuple[Level, ...]  # in the order they were measured


def searches(runs: Sequence[Run]) -> list[Search]:
    """The Optuna searches of the directories whose runs are all here."""
    return [
        s
        for place, there in _places(runs, "optuna.json")
        if (s := _search(place, there)) is not None
    ]


def crossings(runs: Sequence[Run]) -> list[Crossing]:
    """The searches for a target, of the directories whose runs are all here."""
    return [
        c
        for place, there in _places(runs, "find.json")
        if (c := _crossing(place, there)) is not None
    ]


def named(objective: str) -> str:
    """reward/gold -> gold reward"""
    if objective == KL:
        return "KL (nats a response)"
    return (
        f"{objective.removeprefix('reward/')} reward"
        if objective.startswith("reward/")
        else objective
    )


def _places(runs: Sequence[Run], file: str) -> Iterable[tuple[Path, dict[str, Run]]]:
    """Directories that have the file and are compared whole, each with its runs by name."""
    for place in dict.fromkeys(run.directory.parent for run in runs):
        there = {run.directory.name: run for run in runs if run.directory.parent == place}
        if (place / file).is_file() and all(
            child.name in there for child in place.iterdir() if is_run(child)
        ):
            yield place, there


def _search(place: Path, runs: dict[str, Run]) -> Search | None:
    told = read_json(place / "optuna.json")
    if not told.get("trials"):
        return None
    return Search(
        name=str(told.get("name", place.name)),
        goals={
            key: goal == "maximize"
            for key, goal in zip(told["objectives"], told["directions"], strict=True)
        },
        asked=int(told.get("n_trials", len(told["trials"]))),
        trials=tuple(_trial(row, runs) for row in told["trials"]),
    )


def _trial(row: dict[str, Any], runs: dict[str, Run]) -> Trial:
    """A failed trial without overrides never came to its result: its command was cut, and the
    next one asked for it again."""
    cut = row["state"] == "fail" and row.get("overrides") is None
    return Trial(
        number=int(row["number"]),
        state=CUT if cut else STATES.get(row["state"], str(row["state"])),
        params={
            key: f"{v:.4g}" if isinstance(v, float) else str(redact_value(key, v))
            for key, v in row["params"].items()
        },
        values={key: value(row["values"], key) for key in row.get("values") or {}},
        front=bool(row.get("front")),
        name=row.get("run") or "",
        run=runs.get(row.get("run") or ""),
        error=redact_text(str(row["error"])) if row.get("error") else "",
    )


def _crossing(place: Path, runs: dict[str, Run]) -> Crossing | None:
    told = read_json(place / "find.json")
    if not told.get("points"):
        return None
    setting = str(told["setting"])
    levels = {row["x"]: _level(row, setting, runs.values()) for row in told["points"]}
    tolerance = number(told.get("tolerance"))
    return Crossing(
        name=str(told.get("name", place.name)),
        setting=setting,
        objective=str(told["objective"]),
        target=float(told["target"]),
        tolerance=math.nan if tolerance is None else tolerance,
        found=told.get("found") is not None,
        nearest=levels[told["nearest"]["x"]],
        levels=tuple(levels.values()),
    )


def _level(row: dict[str, Any], setting: str, runs: Iterable[Run]) -> Level:
    there = tuple(
        run for run in runs if run.finished and number(run.config.get(setting)) == row["x"]
    )
    return Level(x=row["x"], y=value(row, "y"), error=value(row, "error"), runs=there)

"""The results of a search in a compared directory: optuna.json (hydra/sweeper=optuna) and
find.json (hydra/sweeper=find), as data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.compare.read.columns import value
from rlhf.compare.read.runs import Run, is_run
from rlhf.metrics import KL, METRICS
from rlhf.rundir.read import name_odd, number, read_json
from rlhf.rundir.secrets.redact import redact_text, redact_value

CUT = "cut and asked for again"
FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    state: str  # Optuna's word for it, FAILED or CUT
    params: dict[str, str]  # as text, numbers to the digits that runs are named with
    values: dict[str, float]  # by objective; empty without a result
    front: bool  # no other trial beats it in one objective without losing in another
    name: str  # of its run, "" if it never had one
    run: Run | None  # None also for one of another computer on the same storage
    error: str

    @property
    def title(self) -> str:
        return f"trial {self.number}: {', '.join(f'{k}={v}' for k, v in self.params.items())}"


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
        return [t for t in self.trials if t.state == FAILED]

    @property
    def valued(self) -> list[Trial]:
        return [t for t in self.trials if t.values]


@dataclass(frozen=True, kw_only=True)
class Level:
    """The measurement at one value of the setting, a mean over `runs`."""

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


def searches(runs: Sequence[Run]) -> list[Search | Crossing]:
    """The searches of the directories whose runs are all here, those for a target first."""
    results: list[Search | Crossing] = []
    for file, rows, make in (
        ("find.json", "points", _crossing),
        ("optuna.json", "trials", _search),
    ):
        for place, kept, there in _places(runs, file, rows):
            try:
                results.append(make(place, kept, there))
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                what = f"{type(error).__name__}: {error}"
                name_odd(place / file, f"it is not what a search writes ({what}): left out")
    return results


def named(objective: str) -> str:
    """reward/gold -> gold reward"""
    if objective == KL:
        return f"{METRICS[KL].label} ({METRICS[KL].unit})"
    name = objective.removeprefix("reward/")
    return objective if name == objective else f"{name} reward"


def _places(
    runs: Sequence[Run], file: str, results: str
) -> Iterable[tuple[Path, dict[str, Any], dict[str, Run]]]:
    """Directories that are compared whole and have results in the file, each with the file's
    content and its runs by name."""
    for place in dict.fromkeys(run.directory.parent for run in runs):
        there = {run.directory.name: run for run in runs if run.directory.parent == place}
        kept = read_json(place / file)
        if kept.get(results) and all(c.name in there for c in place.iterdir() if is_run(c)):
            yield place, kept, there


def _search(place: Path, kept: dict[str, Any], runs: dict[str, Run]) -> Search:
    return Search(
        name=str(kept.get("name", place.name)),
        goals={
            key: goal == "maximize"
            for key, goal in zip(kept["objectives"], kept["directions"], strict=True)
        },
        asked=int(kept.get("n_trials", len(kept["trials"]))),
        trials=tuple(_trial(row, runs) for row in kept["trials"]),
    )


def _trial(row: dict[str, Any], runs: dict[str, Run]) -> Trial:
    # a failed trial without overrides never came to its result: its command was cut, and the next
    # one asked for it again
    cut = row["state"] == "fail" and row.get("overrides") is None
    return Trial(
        number=int(row["number"]),
        state=CUT if cut else FAILED if row["state"] == "fail" else str(row["state"]),
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


def _crossing(place: Path, kept: dict[str, Any], runs: dict[str, Run]) -> Crossing:
    setting = str(kept["setting"])
    levels = {row["x"]: _level(row, setting, runs.values()) for row in kept["points"]}
    return Crossing(
        name=str(kept.get("name", place.name)),
        setting=setting,
        objective=str(kept["objective"]),
        target=float(kept["target"]),
        tolerance=value(kept, "tolerance"),
        found=kept.get("found") is not None,
        nearest=levels[kept["nearest"]["x"]],
        levels=tuple(levels.values()),
    )


def _level(row: dict[str, Any], setting: str, runs: Iterable[Run]) -> Level:
    there = tuple(
        run for run in runs if run.finished and number(run.config.get(setting)) == row["x"]
    )
    return Level(x=row["x"], y=value(row, "y"), error=value(row, "error"), runs=there)

"""The searches of a comparison in words and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rlhf.compare.read import Crossing, Level, Search, Trial, final_se, named
from rlhf.compare.statistics import brief, evaluated, level_interval, single
from rlhf.compare.text.tables import grid
from rlhf.metrics import KL

Table = tuple[str, list[str], list[list[str]]]  # caption, head, lines
LUCK = (
    "± is half of the 95 % confidence interval of the trial's own evaluation. The best of many"
    " trials is partly luck: run its setting with several seeds before using it."
)


def sentences(search: Search | Crossing) -> str:
    if isinstance(search, Crossing):
        return _crossing(search)
    goals = ", ".join(
        f"{named(key)} as {'high' if up else 'low'} as possible" for key, up in search.goals.items()
    )
    states = ", ".join(
        f"{count} {state}" for state, count in Counter(t.state for t in search.trials).items()
    )
    return f"Objective: {goals}. Of {search.asked} trials: {states}. {_best(search)}"


def tables(search: Search | Crossing) -> list[Table]:
    if isinstance(search, Crossing):
        return [_levels(search)]
    goals = search.goals
    front = [[*(shown(t, goal) for goal in goals), t.name or "-"] for t in search.front]
    failed = [[t.name or "-", t.error or "-"] for t in search.failed]
    best = "The Pareto front" if len(goals) > 1 else "The best trial"
    return [
        *_table(best, search.front, [*map(named, goals), "run"], front),
        *_table("Trials that failed", search.failed, ["run", "error"], failed),
    ]


def note(search: Search | Crossing) -> str:
    """Says of which noise ± is, and of which not."""
    if isinstance(search, Search):
        return LUCK if search.front else ""
    most = max(len(level.runs) for level in search.levels)
    if most > 1:
        return "Each value is the mean over its runs; ± is half of its 95 % confidence interval."
    return (
        "Each value is one run: ± is half of the 95 % confidence interval of its evaluation and"
        " says nothing of other seeds."
        if most
        else ""
    )


def markdown(searches: Sequence[Search | Crossing]) -> str:
    parts = ["## Search"] if searches else []
    for search in searches:
        grids = [f"{caption}:\n\n{grid(head, lines)}" for caption, head, lines in tables(search)]
        parts += [sentences(search), *grids, note(search)]
    return "\n\n".join(filter(None, parts))


def shown(trial: Trial, objective: str) -> str:
    """A trial's value with the noise of its evaluation, where the run says it."""
    se = final_se(trial.run, objective) if trial.run is not None else math.nan
    return brief(evaluated(single(trial.values.get(objective, math.nan), se)))


def measured(level: Level) -> str:
    return brief(level_interval(level))


def _best(search: Search) -> str:
    front = search.front
    if not front:
        return "No trial has a result."
    if len(search.goals) > 1:
        these, one = (
            ("One trial is", "it")
            if len(front) == 1
            else (f"{len(front)} trials are", "one of them")
        )
        return (
            f"{these} on the Pareto front: no trial is better than {one} in one objective without"
            " being worse in another."
        )
    (goal,) = search.goals
    return (
        f"The best {named(goal)}, {shown(front[0], goal)}, is that of"
        f" {' and of '.join(t.title for t in front)}."
    )


def _table(
    caption: str, trials: Sequence[Trial], head: list[str], lines: list[list[str]]
) -> list[Table]:
    """The trials with their parameters, then `lines`; none where there are no trials."""
    keys = list(dict.fromkeys(key for trial in trials for key in trial.params))
    rows = [
        [str(t.number), *(t.params.get(key, "-") for key in keys), *line]
        for t, line in zip(trials, lines, strict=True)
    ]
    return [(caption, ["trial", *keys, *head], rows)] if rows else []


def _crossing(search: Crossing) -> str:
    level, target = search.nearest, search.target
    what = (
        f"a KL of {measured(level)} nats per response"
        if search.objective == KL
        else f"{named(search.objective)} {measured(level)}"
    )
    if not search.found:
        return (
            f"No {search.setting} was found that gives {named(search.objective)} {target:g}: the"
            f" nearest of {len(search.levels)} that were measured, {level.x}, gives {what}."
        )
    off = abs(level.y - target)
    near = "within its standard error of" if off <= level.error else "close to"
    if off <= search.tolerance * target:
        near = f"within {100 * search.tolerance:.2g} % of"
    return f"{search.setting}={level.x} gives {what}, {near} the target of {target:g}."


def _levels(search: Crossing) -> Table:
    head = [search.setting, named(search.objective), "off the target", "runs"]
    lines = [
        [
            str(level.x),
            measured(level),
            f"{100 * (level.y / search.target - 1):+.1f} %",
            ", ".join(run.name for run in level.runs) or "-",
        ]
        for level in sorted(search.levels, key=lambda level: level.x)
    ]
    return f"Measured for {named(search.objective)} {search.target:g}", head, lines

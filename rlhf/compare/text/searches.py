"""The searches of a comparison in words and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from rlhf.compare.read.curves import KL
from rlhf.compare.read.searches import Crossing, Level, Search, Trial, named
from rlhf.compare.statistics.estimates import Estimate
from rlhf.compare.statistics.findings import show
from rlhf.compare.text.markdown import grid

Table = tuple[str, list[str], list[list[str]]]  # caption, head, lines
LUCK = (
    "± is the noise of a trial's own evaluation. Of many trials the best are also the lucky ones: a"
    " setting that is to be taken from here deserves a run with several seeds."
)


def sentences(search: Search | Crossing) -> str:
    return _search(search) if isinstance(search, Search) else _crossing(search)


def tables(search: Search | Crossing) -> list[Table]:
    return _trials(search) if isinstance(search, Search) else [_levels(search)]


def note(search: Search | Crossing) -> str:
    """What ± says and does not say."""
    if isinstance(search, Search):
        return LUCK if search.front else ""
    most = max(len(level.runs) for level in search.levels)
    if most > 1:
        return "Each value is the mean over the runs beside it, ± its standard error."
    return (
        "Each value is one run: ± is the noise of its evaluation and says nothing of other seeds."
        if most
        else ""
    )


def markdown(found: Sequence[Search | Crossing]) -> str:
    """The section of report.md; empty where nothing was searched."""
    parts = ["## Search"] if found else []
    for search in found:
        parts += [
            sentences(search),
            *(f"{caption}:\n\n{grid(head, lines)}" for caption, head, lines in tables(search)),
        ]
        parts += [said] if (said := note(search)) else []
    return "\n\n".join(parts)


def measured(level: Level) -> str:
    return show(Estimate(level.y, math.nan, level.error, 1))


def _search(search: Search) -> str:
    goals = ", ".join(
        f"{named(key)} as {'high' if up else 'low'} as possible" for key, up in search.goals.items()
    )
    states = ", ".join(
        f"{count} {state}" for state, count in Counter(t.state for t in search.trials).items()
    )
    return f"Wanted: {goals}. {search.asked} trials were asked for: {states}. {_best(search)}"


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
            f"{these} on the Pareto front: no other beats {one} in one number without losing in"
            " another."
        )
    (goal,) = search.goals
    return (
        f"The best {named(goal)}, {front[0].shown(goal)}, is that of"
        f" {' and of '.join(t.title for t in front)}."
    )


def _trials(search: Search) -> list[Table]:
    found: list[Table] = []
    if search.front:
        keys = _keys(search.front)
        lines = [
            [
                str(t.number),
                *(t.params.get(key, "-") for key in keys),
                *(t.shown(goal) for goal in search.goals),
                t.name or "-",
            ]
            for t in search.front
        ]
        caption = "The Pareto front" if len(search.goals) > 1 else "The best trial"
        found.append((caption, ["trial", *keys, *map(named, search.goals), "run"], lines))
    if search.failed:
        keys = _keys(search.failed)
        lines = [
            [
                str(t.number),
                *(t.params.get(key, "-") for key in keys),
                t.name or "-",
                t.error or "-",
            ]
            for t in search.failed
        ]
        found.append(("Trials that failed", ["trial", *keys, "run", "error"], lines))
    return found


def _keys(trials: Iterable[Trial]) -> list[str]:
    return list(dict.fromkeys(key for trial in trials for key in trial.params))


def _crossing(search: Crossing) -> str:
    level, target = search.nearest, search.target
    what = (
        f"a KL of {measured(level)} nats a response"
        if search.objective == KL
        else f"{named(search.objective)} {measured(level)}"
    )
    if not search.found:
        nearest = f"the nearest of {len(search.levels)} that were measured, {level.x}, gives {what}"
        return (
            f"No {search.setting} was found that gives {named(search.objective)} {target:g}:"
            f" {nearest}."
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

"""The charts of a search: its trials and the Pareto front, the best so far, or the curve and its
target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from rlhf.compare.figures import iterations, scales, vega
from rlhf.compare.figures.look import Look
from rlhf.compare.figures.vega import Spec, Tips, points, tips
from rlhf.compare.read import Crossing, Run, Search, Trial, named
from rlhf.compare.statistics import level_interval

Label = Callable[[Run | None], str]  # a run's setting, "" for none

PALE = 0.5


def mark_of(search: Search | Crossing, number: int) -> str:
    """The key of a trial's mark, or of a level's."""
    return f"{search.name}-{number}"


def chart(search: Search, label: Label, look: Look, tip: Tips, alt_text: str) -> Spec | None:
    """The trials over two objectives, or over time for one; None for more objectives, or where
    no trial has a result."""
    if not search.valued or len(search.goals) > 2:
        return None
    layers = (_front if len(search.goals) == 2 else _progress)(search, label, look, tip)
    return vega.spec(layers, look, alt_text)


def staircase(
    front: Sequence[tuple[float, float]], more: tuple[bool, bool], frame: tuple[float, float]
) -> list[tuple[float, float]]:
    """The line that bounds what the front beats, from the frame's worst y to its worst x.

    Args:
        front: (x, y), none beaten by another.
        more: whether more of x, and of y, is better.
        frame: the worst x and the worst y to draw.
    """
    corners, level = [], frame[1]
    # from the best x on: each next one is worse in x and better in y
    for x, y in sorted(front, reverse=more[0]):
        corners += [(x, level), (x, y)]
        level = y
    return [*corners, (frame[0], level)]


def _front(search: Search, label: Label, look: Look, tip: Tips) -> list[Any]:
    """The second objective across, the first up."""
    up, across = search.goals
    xs, ys = ([t.values[goal] for t in search.valued] for goal in (across, up))
    x_span, y_span = _span(xs), _span(ys)
    x, y = _across(named(across), x_span), scales.y(named(up), *y_span)
    layers = []
    if search.front:
        more = (search.goals[across], search.goals[up])
        worst = (x_span[not more[0]], y_span[not more[1]])
        corners = staircase([(t.values[across], t.values[up]) for t in search.front], more, worst)
        layers.append(_stairs(corners, "The Pareto front", look, x, y))
    at = [(t, t.values[across], t.values[up]) for t in search.valued]
    return [*layers, *_trials(search, at, label, look, tip, x, y)]


def _progress(search: Search, label: Label, look: Look, tip: Tips) -> list[Any]:
    """Each trial's value, and the best one so far."""
    ((goal, more),) = search.goals.items()
    numbers, values = zip(*((t.number, t.values[goal]) for t in search.valued), strict=True)
    x, y = _across("trial", _span(numbers)), scales.y(named(goal), *_span(values))
    best = list(zip(numbers, accumulate(values, max if more else min), strict=True))
    steps = [best[0]] + [p for a, b in zip(best, best[1:], strict=False) for p in ((b[0], a[1]), b)]
    at = [(t, t.number, t.values[goal]) for t in search.valued]
    stairs = _stairs(steps, "The best so far", look, x, y)
    return [stairs, *_trials(search, at, label, look, tip, x, y)]


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Of the trials, without one that lies far off."""
    return scales.span([[value] for value in values], room=0.1)


def _across(name: str, span: tuple[float, float]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(span), nice=False)
    return alt.X(
        "x:Q", title=name, scale=scale, axis=alt.Axis(format=scales.plain(*span), labelOverlap=True)
    )


def _stairs(corners: Sequence[vega.Point], title: str, look: Look, x: Any, y: Any) -> Any:
    rows = [{"i": i, "x": a, "y": b, "tip": {"title": title}} for i, (a, b) in enumerate(corners)]
    line = points(rows).mark_line(color=look.ink, strokeWidth=1.3, clip=True)
    return line.encode(x=x, y=y, order="i:Q", tooltip="tip:N")


def _trials(
    search: Search,
    at: Sequence[tuple[Trial, float, float]],
    label: Label,
    look: Look,
    tip: Tips,
    x: Any,
    y: Any,
) -> list[Any]:
    """Pale ones below those of the front."""
    layers = []
    for front, size, strength in ((False, 60, PALE), (True, 110, 1.0)):
        rows = [
            {"setting": label(trial.run), "x": a, "y": b}
            | vega.tip_of(tip.get(mark_of(search, trial.number)))
            for trial, a, b in at
            if trial.front is front
        ]
        dots = points(rows).mark_point(filled=True, size=size, stroke=look.paper, clip=True)
        channels = {**look.encode(), "opacity": look.opacity(strength), **tips()}
        layers += [dots.encode(x=x, y=y, **channels)] if rows else []
    return layers


def curve(search: Crossing, label: Label, look: Look, tip: Tips, alt_text: str) -> Spec:
    """The measured values against the setting, both on logarithmic scales where they are above 0,
    and the target with its tolerance."""
    xs, ys = ([getattr(level, axis) for level in search.levels] for axis in "xy")
    x, y = (
        _axis(axis, values) for axis, values in zip("xy", (xs, [*ys, search.target]), strict=True)
    )
    x, y = x(search.setting), y(named(search.objective))
    rows = [
        {
            "setting": label(level.runs[0] if level.runs else None),
            **{
                "x": level.x,
                "y": level.y,
                "low": level_interval(level).low,
                "high": level_interval(level).high,
            },
            **vega.tip_of(tip.get(mark_of(search, i))),
        }
        for i, level in enumerate(search.levels)
    ]
    layers = _tolerance(search, look, y)
    line = points(rows).mark_line(color=look.muted, opacity=0.6, aria=False, tooltip=None)
    layers += [line.encode(x=x, y=y), *iterations.target(search.target, look, y)]
    known = points(row for row in rows if math.isfinite(row["low"]))
    bars = known.mark_rule(strokeWidth=1.4, clip=True, aria=False, tooltip=None)
    layers.append(bars.encode(x=x, y=_low(y), y2="high:Q", color=look.encode()["color"]))
    if search.found:
        nearest = search.levels.index(search.nearest)
        ring = points([rows[nearest]]).mark_point(
            shape="circle", size=420, filled=False, color=look.ink, strokeWidth=1.5, opacity=1
        )
        layers.append(ring.encode(x=x, y=y, **tips()))
    dots = points(rows).mark_point(filled=True, size=110, stroke=look.paper, opacity=1)
    layers.append(dots.encode(x=x, y=y, **look.encode(), **tips()))
    return vega.spec(layers, look, alt_text)


def _axis(axis: str, values: Sequence[float]) -> Callable[[str], Any]:
    import altair as alt

    def make(title: str) -> Any:
        shape: Any = alt.X if axis == "x" else alt.Y
        kind = alt.Axis(format=scales.plain(*values), labelOverlap=True)
        if scales.logarithmic(values):
            scale = alt.Scale(type="log", domain=[min(values) / 1.3, max(values) * 1.3], nice=False)
        else:
            scale = alt.Scale(domain=list(_span(values)), nice=False)
        return shape(f"{axis}:Q", title=title, scale=scale, axis=kind)

    return make


def _low(y: Any) -> Any:
    changed = y.copy(deep=False)
    changed["shorthand"] = "low:Q"
    return changed


def _tolerance(search: Crossing, look: Look, y: Any) -> list[Any]:
    if not math.isfinite(search.tolerance):
        return []
    low, high = (search.target * (1 + side * search.tolerance) for side in (-1, 1))
    words = vega.tip_of({"title": f"Tolerance: {low:.4g} to {high:.4g}", "lines": []})
    band = points([{"low": low, "high": high, **words}]).mark_rect(color=look.muted, opacity=0.18)
    return [band.encode(y=_low(y), y2="high:Q", **tips())]

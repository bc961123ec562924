"""Charts over iterations: of the controllers, for the page and as controllers.png, and training
health as small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import scales, vega
from rlhf.compare.figures.look import Look, picture_look
from rlhf.compare.figures.style import Styles
from rlhf.compare.figures.vega import Spec, points, run_lines
from rlhf.compare.read import Run, series
from rlhf.compare.statistics import BAND, Setting, Steering, Study, label_of
from rlhf.metrics import Shown

if TYPE_CHECKING:
    import altair as alt

OFF = (-60.0, 120.0)  # per cent of the target that are shown
Steered = Sequence[tuple[Setting, Steering]]
Lines = list[tuple[str, str, Sequence[vega.Point]]]  # setting, run, points


def vital(
    members: Sequence[tuple[Setting, Run]], what: Shown, look: Look, alt_text: str
) -> Spec | None:
    """A small panel; None where no run has the metric."""
    lines: Lines = [
        (s.label, label_of(s, run), [(i, what.transform(v)) for i, v in series(run, *what.keys)])
        for s, run in members
    ]
    if not _values(lines):
        return None
    low, high = scales.span(_by_run(lines))
    if what.floor is not None and low < what.floor:
        low, high = what.floor, max(high, 0.1)
    layers = run_lines(lines, look, _iteration(), scales.y("", low, high))
    return vega.spec(layers, look, alt_text, height=vega.SHORT, interactive=False)


def coefficient(steering: Steered, look: Look, alt_text: str) -> Spec | None:
    """The coefficient by iteration, on a logarithmic scale where all are above 0; None where no
    run recorded it."""
    lines: Lines = [(s.label, label_of(s, way.run), way.coef) for s, way in steering]
    layers = _coefficients(lines, look)
    return vega.spec(layers, look, alt_text) if layers else None


def kl_over_iterations(steering: Steered, look: Look, alt_text: str) -> Spec | None:
    """The KL of the rollouts by iteration, with the targets (nats per response) as lines."""
    lines: Lines = [(s.label, label_of(s, way.run), way.measured) for s, way in steering]
    layers = _kls(lines, steering, look)
    return vega.spec(layers, look, alt_text) if layers else None


def controllers(study: Study, styles: Styles) -> Spec:
    """controllers.png, of a study whose coefficients moved: KL, its distance from the target and
    the coefficient by iteration; a colour a setting, a line a run."""
    import altair as alt

    look = picture_look(styles, "setting")
    steered = [(s, way) for s, way in study.steering if way.unit]
    exact: Lines = [(s.label, label_of(s, w.run), w.exact or w.rollouts) for s, w in study.steering]
    coefs: Lines = [(s.label, label_of(s, w.run), w.coef) for s, w in study.steering]
    off: Lines = [
        (s.label, label_of(s, w.run), [(i, 100 * (kl / w.target - 1)) for i, kl in w.kl])
        for s, w in steered
    ]
    band = points([{"y": -100 * BAND, "y2": 100 * BAND}]).mark_rect(color=look.muted, opacity=0.18)
    y = scales.y("KL over its target, %", *OFF)
    panels = [
        _kls(exact, study.steering, look),
        [band.encode(y=y, y2="y2:Q"), *run_lines(off, look, _iteration(), y)] if off else [],
        [*_coefficients(coefs, look), *_solved(steered, look)],
    ]
    parts = [
        alt.layer(*layers).properties(width=vega.PICTURE, height=vega.SHORT)
        for layers in panels
        if layers
    ]
    title = alt.TitleParams("KL and coefficient by iteration", anchor="start")
    whole = alt.vconcat(*parts, spacing=30).resolve_scale(color="shared").properties(title=title)
    return vega.finished(whole, look)


def _kls(lines: Lines, steering: Steered, look: Look) -> list[alt.Chart]:
    levels = sorted({way.target for _, way in steering if way.unit == "sequence"})
    if not _values(lines):
        return []
    _, high = scales.span(_by_run(lines), levels)
    x, y = _iteration(), scales.y("KL to SFT, nats per response", 0.0, high)
    layers = run_lines(lines, look, x, y)
    return [*layers, *(part for level in levels for part in target(level, look, y))]


def _coefficients(lines: Lines, look: Look) -> list[alt.Chart]:
    import altair as alt

    values = _values(lines)
    if not values:
        return []
    y = scales.y("coefficient", *scales.span(_by_run(lines)))
    if scales.logarithmic(values):
        axis = alt.Axis(format=".6~r", values=scales.decades(min(values), max(values)))
        scale = alt.Scale(type="log", domain=[0.8 * min(values), 1.25 * max(values)], nice=False)
        y = alt.Y("y:Q", scale=scale, title="coefficient", axis=axis)
    return run_lines(lines, look, _iteration(), y)


def _solved(steered: Steered, look: Look) -> list[alt.Chart]:
    """The coefficients whose optimum has the target as its KL, where they are known."""
    levels = sorted({round(way.solved, 4) for _, way in steered if math.isfinite(way.solved)})
    words = "the coefficient that gives the target: {:.3g}"
    return [part for level in levels for part in target(level, look, "y:Q", words.format(level))]


def target(level: float, look: Look, y: Any, words: str = "") -> list[alt.Chart]:
    """A dashed line at a target, with its number over its right end."""
    import altair as alt

    text = words or f"target {level:g}"
    rows = points([{"y": level, "text": text, **vega.tip_of({"title": text, "lines": []})}])
    rule = rows.mark_rule(color=look.ink, strokeDash=[5, 3], strokeWidth=1.2)
    at_the_right: Any = alt.value("width")
    # a rim of the background's colour keeps the words apart from the lines below them
    rims: tuple[dict[str, Any], ...] = ({"stroke": look.paper, "strokeWidth": 3}, {})
    written = [
        rows.mark_text(
            align="right",
            baseline="bottom",
            dy=-3,
            fontSize=11,
            color=look.ink,
            aria=False,
            tooltip=None,
            **rim,
        ).encode(x=at_the_right, y=y, text="text:N")
        for rim in rims
    ]
    return [rule.encode(y=y, **vega.tips()), *written]


def _iteration() -> alt.X:
    import altair as alt

    axis = alt.Axis(format="d", tickMinStep=1)
    return alt.X("x:Q", title="iteration", axis=axis, scale=alt.Scale(nice=False, zero=False))


def _by_run(lines: Lines) -> list[list[float]]:
    return [[value for _, value in line] for _, _, line in lines]


def _values(lines: Lines) -> list[float]:
    return [value for _, _, line in lines for _, value in line if math.isfinite(value)]

"""What all charts share: tooltips, lines of runs, and how a chart becomes a picture or a
script. Charts are Vega-Lite, written with Altair."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.drawn.svg import lighter
from rlhf.compare.figures.look import Look, config
from rlhf.rundir.files import write_bytes, write_text
from rlhf.rundir.read import read_text

if TYPE_CHECKING:
    import altair as alt

Spec = dict[str, Any]  # a chart in Vega-Lite
Mark = dict[str, Any]  # title, lines: [[name, value]], sample: {prompt, response} or None
Tips = Mapping[str, Mark]  # by the key of a mark
Point = tuple[float, float]
SCALE = 2.0
SHORT, TALL = 150, 300  # pixels
PICTURE = 480  # width of a panel in a picture, and of a chart on paper
MOST_POINTS = 3000  # of a chart's lines together: more cannot be seen and make the page heavy
LEAST_POINTS = 5  # of a line, however many lines there are
MOST_PARTS = 1500  # of the segments that take the pointer
LEAST_PARTS = 3  # of those of a line
# a wheel that scrolls the page, and a finger, do not move a chart
ZOOM = "wheel![event.ctrlKey || event.metaKey || event.shiftKey]"
PAN = "[pointerdown[event.pointerType == 'mouse'], window:pointerup] > window:pointermove!"


def tip_of(mark: Mark | None) -> dict[str, Any]:
    """The fields of a mark's tooltip, and of its spoken name."""
    if mark is None:
        return {"tip": None, "spoken": ""}
    sample = mark.get("sample") or {}
    tip = {"title": mark["title"], **dict(mark["lines"]), **sample}
    spoken = "; ".join([mark["title"], *(f"{name} {text}" for name, text in mark["lines"])])
    return {"tip": tip, "spoken": spoken}


def tips() -> dict[str, Any]:
    """The channels of a mark with the fields of `tip_of`."""
    import altair as alt

    return {"tooltip": alt.Tooltip("tip:N"), "description": alt.Description("spoken:N")}


def points(rows: Iterable[Mapping[str, Any]]) -> alt.Chart:
    """A chart of these rows; what is not finite is nothing."""
    import altair as alt

    # a tuple: Altair copies lists with all they hold whenever a chart gets another property
    known = tuple(
        {k: _shown(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    return alt.Chart(alt.InlineData(values=known))  # type: ignore[arg-type]


def _shown(value: float) -> float | None:
    """With more digits than a screen has pixels; None where it is no number."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def run_lines(
    runs: Sequence[tuple[str, str, Sequence[Point]]],
    look: Look,
    x: Any,
    y: Any,
    *,
    width: float = 1.2,
    strength: float = 0.55,
) -> list[alt.Chart]:
    """A line a run through its points in their order, and below it wide segments that are not seen
    and take the pointer: of a line itself, Vega finds the points alone. `runs`: setting, what the
    tooltip says, points."""
    import altair as alt

    rows = [
        {"setting": setting, "run": title, "i": list(range(len(kept))), **columns(kept, "xy")}
        for setting, title, kept in _thinned(runs, MOST_POINTS, LEAST_POINTS)
    ]
    parts = [
        {"run": title, **columns(kept[:-1], "xy"), **columns(kept[1:], ("x2", "y2"))}
        for _, title, kept in _thinned(runs, MOST_PARTS, LEAST_PARTS)
        if len(kept) > 1
    ]
    segments = points(parts).transform_flatten(["x", "y", "x2", "y2"])
    wide = segments.mark_rule(strokeWidth=9, strokeOpacity=0, clip=True, aria=False)
    flat = points(rows).transform_flatten(["i", "x", "y"])
    # channels, not texts: of a text Altair looks for its class among all
    tip = alt.Tooltip("run:N")
    seen = flat.mark_line(strokeWidth=width, clip=True).encode(
        x=x,
        y=y,
        order=alt.Order("i:Q"),
        detail=alt.Detail("run:N"),
        color=look.encode()["color"],
        opacity=look.opacity(strength),
        tooltip=tip,
        description=alt.Description("run:N"),
    )
    return [wide.encode(x=x, y=y, x2=alt.X2("x2:Q"), y2=alt.Y2("y2:Q"), tooltip=tip), seen]


def _thinned(
    runs: Sequence[tuple[str, str, Sequence[Point]]], most: int, least: int
) -> list[tuple[str, str, list[Point]]]:
    """The runs with about `most` points together, `least` each."""
    each = max(most // max(len(runs), 1), least)
    thinned = ((setting, title, thin(path, each)) for setting, title, path in runs)
    return [(setting, title, kept) for setting, title, kept in thinned if kept]


def columns(path: Sequence[Point], names: Sequence[str]) -> dict[str, list[float]]:
    return {name: [digits(p[k]) for p in path] for k, name in enumerate(names)}


def thin(path: Sequence[Point], most: int) -> list[Point]:
    """At most about `most` of the points, evenly chosen, the last among them."""
    step = max(math.ceil(len(path) / most), 1)
    return [*path[:-1:step], *path[-1:]]


def digits(value: float) -> float:
    """With the four digits that a chart can show."""
    return float(f"{value:.4g}")


def spec(
    layers: Sequence[alt.Chart],
    look: Look,
    alt_text: str,
    *,
    height: int = TALL,
    interactive: bool = True,
) -> Spec:
    """The layers, the first at the back, as one chart in Vega-Lite."""
    import altair as alt

    width: Any = "container" if look.page else PICTURE
    chart = alt.layer(*layers, width=width, height=height, description=alt_text)
    params = [alt.param(name="chosen", value=[])] if look.page else []
    if look.page and interactive:
        params.append(alt.selection_interval(name="zoom", bind="scales", zoom=ZOOM, translate=PAN))
    return finished(chart.add_params(*params) if params else chart, look)


def unchecked() -> AbstractContextManager[None]:
    """Within it Altair does not hold each part of a chart against its schema, which takes as long
    as all else that it does: tests draw every chart with the check."""
    from altair.utils.schemapi import debug_mode

    return debug_mode(False)


def checks() -> bool:
    from altair.utils import schemapi

    return schemapi.DEBUG_MODE


def finished(chart: Any, look: Look) -> Spec:
    """An Altair chart in Vega-Lite, with its look."""
    made: Spec = clean(chart.to_dict(validate=checks()))
    return {**made, "config": config(look)}


def clean(value: Any) -> Any:
    """The value without what is no text: half a surrogate pair in a sample or a name."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    return [clean(v) for v in value] if isinstance(value, list | tuple) else value


def save_png(
    chart: Spec, path: Path, *, widest: float = math.inf, drawn: Path | None = None
) -> None:
    """Write the chart as a picture: `SCALE` pixels for each of its own, and no wider than `widest`.
    `drawn`: where the picture is that was written without that limit, which saves drawing it."""
    import vl_convert

    svg = _svg(json.dumps(chart))
    picture = drawn.read_bytes() if drawn else vl_convert.svg_to_png(svg, scale=SCALE)
    width = int.from_bytes(picture[16:20], "big")  # of the header
    if width > widest:
        picture = vl_convert.svg_to_png(svg, scale=SCALE * (widest - 1) / width)
    write_bytes(path, picture)


@lru_cache(maxsize=4)  # a comparison's pictures, each of which is written in two sizes
def _svg(chart: str) -> str:
    import vl_convert

    return lighter(str(vl_convert.vegalite_to_svg(chart)))


@cache
def script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that asks for nothing from elsewhere: made once
    for each version of vl-convert, and kept in the user's cache folder."""
    version = metadata.version("vl-convert-python")
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kept = Path(cache_home) / "rlhf" / f"vega-embed-{version}.js"
    text = read_text(kept)
    if not text:
        import vl_convert

        text = str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, text)
    return text


def embedded(chart: Spec) -> str:
    """The chart as JSON that may stand in a page."""
    text = json.dumps(chart, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

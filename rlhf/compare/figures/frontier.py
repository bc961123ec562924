"""Reward against KL: on the page, and as frontier.png with a panel for each reward."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import backdrop, labels, scales, vega
from rlhf.compare.figures.frontier_data import FrontierData, Mark, Way
from rlhf.compare.figures.look import Look, picture_look
from rlhf.compare.figures.style import OTHER, Styles
from rlhf.compare.figures.vega import Spec, Tips, points, tips
from rlhf.compare.read.realigned import OWN
from rlhf.compare.statistics import Interval

if TYPE_CHECKING:
    import altair as alt

NAMED = (10, 12)  # up to so many settings, with names up to so long, are named beside their marks
FEW_RUNS, FEW_SETTINGS = 20, 10  # more have paler lines, smaller marks
NARROW = 330.0  # pixels of a chart on a phone: names that fit there fit everywhere


def frontier(data: FrontierData, look: Look, tip: Tips, alt_text: str) -> Spec:
    """A mark a setting and a run, lines along training, intervals; `tip`: what marks say when they
    are pointed at, by key."""
    return vega.spec(_layers(data, look, tip), look, alt_text)


def picture(panels: Sequence[FrontierData], styles: Styles, title: str, legend: str) -> Spec:
    """frontier.png. `legend`: what the names of the settings are values of."""
    import altair as alt

    look = picture_look(styles, legend)
    charts = [
        alt.layer(*_layers(data, look, {})).properties(
            width=vega.PICTURE, height=vega.TALL, title=data.title
        )
        for data in panels
    ]
    whole = alt.concat(*charts, columns=2, spacing=36).resolve_scale(color="shared", shape="shared")
    lines = wrap(title, 60 * min(len(panels), 2))
    below = wrap(_caption(panels), 95 * min(len(panels), 2))
    heading = alt.TitleParams(lines, subtitle=below, subtitleColor=look.muted, offset=12)
    made = vega.finished(whole.properties(title=heading), look)
    made["config"]["title"] |= {"subtitleFontSize": 11, "subtitlePadding": 6}
    return made


def _layers(data: FrontierData, look: Look, tip: Tips) -> list[alt.Chart]:
    ways = [(mark, way) for mark in data.drawn for way in mark.runs]
    ends = [mark.x.mean for mark in data.drawn]
    kls = [x for _, way in ways for x, _ in (*way.path, *([way.end] if way.end else []))]
    kls += [kl for line in data.realigned for _, (kl, _) in line.stops]
    scale = scales.kl_scale(ends, kls)
    low, high = _span(data)
    x, y = scale.x(), scales.y(data.name, low, high)
    inside = _Frame(low, high)
    layers = [*backdrop.level(data, look, y), *backdrop.lost(data, look, x, y)]
    lines = [(mark.label, _title(tip, way), way.path) for mark, way in ways if len(way.path) > 1]
    crowd = min(1.0, (FEW_RUNS / max(len(lines), 1)) ** 0.5)
    layers += vega.run_lines(lines, look, x, y, strength=0.45 * crowd)
    layers += [*backdrop.joined(data.lines, look, x, y), *backdrop.best_of_n(data, look, x, y)]
    layers += backdrop.paths(data, look, tip, x, y)
    layers += backdrop.realigned(data, look, tip, x, y, inside.held)
    layers += backdrop.star(data, look, tip, x, y)
    layers += _marks(data, look, tip, x, y, inside)
    return layers + _names(data, look, scale, x, y, inside)


def _title(tip: Tips, way: Way) -> str:
    return str(tip[way.name]["title"]) if way.name in tip else way.name


class _Frame:
    """What lies above or below it is drawn at its edge."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def held(self, value: float) -> float:
        edge = 0.04 * (self.high - self.low)
        return min(max(value, self.low + edge), self.high - edge)

    def share(self, value: float) -> float:
        return (self.held(value) - self.low) / (self.high - self.low)

    def beyond(self, value: float) -> bool:
        return not self.low <= value <= self.high


def _span(data: FrontierData) -> tuple[float, float]:
    """Of the rewards: those of all runs that are not far off, SFT and best of n."""
    runs = [
        [*(reward for _, reward in way.path), *([way.end[1]] if way.end else [])]
        for mark in data.drawn
        for way in mark.runs
    ]
    runs += [[reward for _, (_, reward) in line.stops] for line in data.realigned]
    keep = [reward for _, reward in data.best_of_n]
    return scales.span(runs, [*keep, *([data.sft] if data.sft is not None else [])])


def _marks(
    data: FrontierData, look: Look, tip: Tips, x: Any, y: Any, inside: _Frame
) -> list[alt.Chart]:
    """Intervals, the ring of the best, runs, and above them the means: what is small lies below
    what is large, and the ring, which is empty, below both."""
    channels = look.encode()
    bars = [row for mark in data.drawn for row in _bars(mark, inside)]
    across = points(row for row in bars if row["x"] != row["x2"])
    upright = points(row for row in bars if row["y"] != row["y2"])
    faint: dict[str, Any] = {"color": channels["color"], "opacity": look.opacity(0.8)}
    bar: dict[str, Any] = {"strokeWidth": 1.6, "clip": True, "aria": False, "tooltip": None}
    layers = [
        across.mark_rule(**bar).encode(x=x, x2="x2:Q", y=y, **faint),
        upright.mark_rule(**bar).encode(x=x, y=y, y2="y2:Q", **faint),
    ]
    if data.best is not None:
        key = f"setting-{data.best.label}" if data.best.several else data.best.runs[0].name
        row = _row(data.best, data.best.mean, tip.get(key), inside)
        ring = points([row]).mark_point(
            shape="circle", size=420, filled=False, color=look.ink, strokeWidth=1.5, opacity=1
        )
        layers.append(ring.encode(x=x, y=y, **tips()))
    small = [
        _row(mark, way.end, tip.get(way.name), inside)
        for mark in data.drawn
        for way in mark.runs
        if way.end is not None and mark.several
    ]
    large = [_row(mark, mark.mean, tip.get(_key(mark)), inside) for mark in data.drawn]
    crowd = min(1.0, FEW_SETTINGS / max(len(large), 1))
    for rows, size, strength in ((small, 14 + 20 * crowd, 0.75), (large, 40 + 70 * crowd, 1.0)):
        if not rows:  # a layer without marks is a picture without a name to a screen reader
            continue
        dots = points(rows).mark_point(
            filled=True, size=size, stroke=look.paper, strokeWidth=1, cursor="pointer"
        )
        layers.append(dots.encode(x=x, y=y, **channels, opacity=look.opacity(strength), **tips()))
    return layers


def _key(mark: Mark) -> str:
    return f"setting-{mark.label}" if mark.several else mark.runs[0].name


def _row(mark: Mark, at: vega.Point, tip: vega.Mark | None, inside: _Frame) -> dict[str, Any]:
    row = {"setting": mark.label, "x": at[0], "y": inside.held(at[1]), **vega.tip_of(tip)}
    if inside.beyond(at[1]) and row["tip"]:
        row["tip"] = {**row["tip"], "outside the chart": f"at {at[1]:.4g}, drawn at its edge"}
    return row


def _bars(mark: Mark, inside: _Frame) -> list[dict[str, Any]]:
    """The 95 % intervals of a mean, or of the evaluation of a single run."""
    (kl, reward), (across, upright) = mark.mean, (mark.x_interval, mark.y_interval)
    at = {
        "setting": mark.label,
        "x": kl,
        "x2": kl,
        "y": inside.held(reward),
        "y2": inside.held(reward),
    }
    return (
        [
            at | {"x": max(across.low, 0.0), "x2": across.high},
            at | {"y": inside.held(upright.low), "y2": inside.held(upright.high)},
        ]
        if _known(across) and _known(upright)
        else []
    )


def _known(interval: Interval) -> bool:
    return math.isfinite(interval.low) and math.isfinite(interval.high)


def _names(
    data: FrontierData, look: Look, scale: scales.KLScale, x: Any, y: Any, inside: _Frame
) -> list[alt.Chart]:
    """Names beside the means where they fit; the best has the choice of places."""
    short = max(len(mark.short) for mark in data.drawn) <= NAMED[1]
    named = len(data.drawn) <= NAMED[0] and short
    first = sorted(data.drawn, key=lambda mark: mark is not data.first)
    texts = [(mark.label, *mark.mean, mark.short if named else "") for mark in first]
    texts += [(OTHER, 0.0, data.sft, "SFT")] if data.sft is not None else []
    small = [way.end for mark in data.drawn for way in mark.runs if mark.several and way.end]
    stops = [
        (line.setting, *at, f"λ {share:g}" if line.first and share not in OWN else "")
        for line in data.realigned
        for share, at in line.stops
    ]
    every = [*texts, *(("", kl, reward, "") for kl, reward in small), *stops]
    anchors = [(scale.position(kl), inside.share(reward), text) for _, kl, reward, text in every]
    spots = labels.place(anchors, NARROW, vega.TALL)
    rows = [
        ({"setting": label, "x": kl, "y": inside.held(reward), "text": text}, spot)
        for (label, kl, reward, text), spot in zip(every, spots, strict=True)
    ]
    names, lambdas = rows[: len(texts)], rows[len(texts) + len(small) :]
    return [
        *labels.draw(lambdas, look, x, y, fontWeight="normal", fontSize=labels.SIZE - 1),
        *labels.draw(names, look, x, y, fontWeight="bold", fontSize=labels.SIZE),
    ]


def _caption(panels: Sequence[FrontierData]) -> str:
    several = any(mark.several for data in panels for mark in data.drawn)
    marks = (
        "Large marks: means over seeds with 95 % confidence intervals; small marks: runs."
        if several
        else "Marks: runs with the 95 % confidence interval of their evaluation."
    )
    star = " Star: SFT." if any(data.sft is not None for data in panels) else ""
    dashed = " Dashed: best of n of SFT." if any(data.best_of_n for data in panels) else ""
    ringed = any(data.best is not None for data in panels)
    ring = " Ring: the setting that the verdict names first." if ringed else ""
    curves = "".join(f" {words}" for words in (legend(panels),) if words)
    return f"{marks} Thin lines: training.{curves}{star}{dashed}{ring}"


def legend(panels: Sequence[FrontierData]) -> str:
    """Says which lines are KL paths and realigned policies; empty where there is neither."""
    path = ["Thick lines: KL paths through their points, a line a seed."]
    drawn = {line.by for data in panels for line in data.realigned}
    words = [words for by, (_, _, words) in backdrop.REALIGNED.items() if by in drawn]
    mixed = "; ".join(words)
    sentences = [f"{mixed[:1].upper()}{mixed[1:]}, a line a run, a mark a λ."] if words else []
    return " ".join([*(path if any(data.paths for data in panels) else []), *sentences])

"""The marks behind a frontier: SFT, best of n, the line through the means, KL paths, realigned
policies, and the gold reward that a gamed proxy costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import vega
from rlhf.compare.figures.frontier_data import FrontierData
from rlhf.compare.figures.look import Look
from rlhf.compare.figures.style import OTHER, STAR
from rlhf.compare.figures.vega import Tips, points, tips

if TYPE_CHECKING:
    import altair as alt


# how the mixtures of a policy with its start are drawn: dashes, marks, words
REALIGNED: dict[str, tuple[list[int], str, str]] = {
    "decoding": ([2, 2], "circle", "dotted with open circles: realigned while decoding"),
    "weights": ([7, 3], "diamond", "dashed with open diamonds: weights interpolated"),
}


def level(data: FrontierData, look: Look, y: Any) -> list[alt.Chart]:
    """A line at SFT's reward."""
    if data.sft is None:
        return []
    line = points([{"y": data.sft}]).mark_rule(
        color=look.muted, strokeDash=[4, 3], aria=False, tooltip=None
    )
    return [line.encode(y=y)]


def star(data: FrontierData, look: Look, tip: Tips, x: Any, y: Any) -> list[alt.Chart]:
    """SFT, at KL 0."""
    if data.sft is None:
        return []
    mark = points([{"x": 0.0, "y": data.sft, **vega.tip_of(tip.get("sft"))}]).mark_point(
        shape=STAR,
        size=190,
        filled=True,
        clip=False,
        color=look.ink,
        stroke=look.paper,
        opacity=1,
    )
    return [mark.encode(x=x, y=y, **tips())]


def lost(data: FrontierData, look: Look, x: Any, y: Any) -> list[alt.Chart]:
    """How much lower gold is at the highest proxy."""
    if data.lost is None:
        return []
    (best, high), (at, low) = data.lost
    words = f"Gold reward is {high - low:.2g} lower where the proxy reward is highest"
    mark = vega.tip_of({"title": words, "lines": []})
    across = points([{"x": best, "x2": at, "y": high, **mark}])
    down = points([{"x": at, "y": high, "y2": low, **mark}])
    dashes: dict[str, Any] = {"color": look.alarm, "strokeDash": [3, 3], "strokeWidth": 1.5}
    return [
        across.mark_rule(**dashes).encode(x=x, x2="x2:Q", y=y, **tips()),
        down.mark_rule(**dashes).encode(x=x, y=y, y2="y2:Q", **tips()),
    ]


def joined(lines: Sequence[Sequence[vega.Point]], look: Look, x: Any, y: Any) -> list[alt.Chart]:
    """The means of settings that differ in the coefficient only."""
    rows = [
        {"line": i, "x": kl, "y": reward, "tip": {"title": "Means, in the order of KL"}}
        for i, line in enumerate(lines)
        for kl, reward in line
    ]
    line: alt.Chart = points(rows).mark_line(
        color=look.muted, strokeWidth=1.8, opacity=0.6, clip=True, aria=False
    )
    return [line.encode(x=x, y=y, detail="line:N", tooltip="tip:N")] if rows else []


def paths(data: FrontierData, look: Look, tip: Tips, x: Any, y: Any) -> list[alt.Chart]:
    """A line a KL path through its points."""
    lines = [
        (
            OTHER,
            tip[line.key]["title"] if line.key in tip else "KL path",
            [at for _, at in line.stops],
        )
        for line in data.paths
    ]
    return vega.run_lines(lines, look, x, y, width=2.6, strength=0.8) if lines else []


def realigned(
    data: FrontierData, look: Look, tip: Tips, x: Any, y: Any, held: Callable[[float], float]
) -> list[alt.Chart]:
    """A thin line through the lambdas of each realigned policy. `held`: a reward within the
    chart."""
    layers = []
    for by, (dash, shape, _) in REALIGNED.items():
        rows = [
            {"setting": line.setting, "line": line.key, "i": share, "x": kl, "y": held(reward)}
            | vega.tip_of(tip.get(line.key_of(share)))
            for line in data.realigned
            if line.by == by
            for share, (kl, reward) in line.stops
        ]
        if rows:
            color, opacity = look.encode()["color"], look.opacity(0.9)
            seen = points(rows).mark_line(
                strokeWidth=1.1, strokeDash=dash, clip=True, aria=False, tooltip=None
            )
            layers.append(
                seen.encode(x=x, y=y, order="i:Q", detail="line:N", color=color, opacity=opacity)
            )
            dots = points(rows).mark_point(filled=False, size=26, strokeWidth=1.3, shape=shape)
            layers.append(dots.encode(x=x, y=y, color=color, opacity=opacity, **tips()))
    return layers


def best_of_n(data: FrontierData, look: Look, x: Any, y: Any) -> list[alt.Chart]:
    rows = [
        {"x": kl, "y": reward}
        | vega.tip_of(
            {
                "title": f"Best of {n} responses of SFT",
                "lines": [["KL, nats", f"{kl:.2f}"], [data.name, f"{reward:.3g}"]],
            }
        )
        for n, (kl, reward) in zip(data.ns, data.best_of_n, strict=True)
    ]
    if not rows:
        return []
    line = points(rows).mark_line(
        color=look.muted, strokeDash=[5, 3], strokeWidth=1, clip=True, aria=False, tooltip=None
    )
    dots = points(rows).mark_point(
        shape="square", size=22, filled=True, color=look.muted, opacity=1, clip=True
    )
    return [line.encode(x=x, y=y), dots.encode(x=x, y=y, **tips())]

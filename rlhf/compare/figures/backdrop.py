"""The marks behind a frontier: SFT, best of n, the line through the means, and the gold reward that
a gamed proxy costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import vega
from rlhf.compare.figures.frontier_data import FrontierData
from rlhf.compare.figures.look import Look
from rlhf.compare.figures.style import STAR
from rlhf.compare.figures.vega import Tips, points, tips

if TYPE_CHECKING:
    import altair as alt


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

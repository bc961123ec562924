"""Puts names beside marks so that they cover neither marks nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Anchor = tuple[float, float, str, str]  # x, y, text, colour; an empty text is a mark to keep free
Box = tuple[float, float, float, float]  # left, bottom, right, top
SIZE = 9.5  # points
MARK, SMALL = 8.0, 4.0  # points from the middle of a mark, and of one without a name, to keep free
FAR = 16.0  # points from a mark from which on a text needs a line to it
# (dx, dy) in points from the mark to the text's corner or middle, and which one that is
SPOTS = (
    *(
        (9, 6, "left", "bottom"),
        (-9, 6, "right", "bottom"),
        (9, -6, "left", "top"),
        (-9, -6, "right", "top"),
    ),
    *(
        (12, 0, "left", "center"),
        (-12, 0, "right", "center"),
        (0, 13, "center", "bottom"),
        (0, -13, "center", "top"),
    ),
    *(
        (-9, 24, "right", "bottom"),
        (9, -24, "left", "top"),
        (-9, -24, "right", "top"),
        (9, 24, "left", "bottom"),
    ),
    *(
        (-20, 40, "right", "bottom"),
        (20, -40, "left", "top"),
        (-20, -40, "right", "top"),
        (20, 40, "left", "bottom"),
    ),
    *(
        (-44, 0, "right", "center"),
        (44, 0, "left", "center"),
        (0, 56, "center", "bottom"),
        (0, -56, "center", "top"),
    ),
)
# share of a text's area that a line to its mark costs: where there is room beside the mark, that is
# better
LEAD = 0.2
OUTSIDE = 3.0  # times that a text outside the frame is worse than one on a mark


def place(ax: Axes, anchors: Sequence[Anchor], *, halo: bool = True) -> None:
    """Write each text at the spot around its mark that overlaps least with marks, earlier texts and
    the frame.

    A text that stands nearer to another named mark than to its own, or far from its own, gets a
    thin line to it. The axes' limits must be final: the places are chosen on the drawn page.
    `halo`: a white rim; it turns an SVG's letters into outlines.
    """
    scale = ax.get_figure(root=True).dpi / 72.0  # type: ignore[union-attr]
    marks: list[tuple[float, float]] = [
        tuple(ax.transData.transform((x, y))) for x, y, _, _ in anchors
    ]
    reach = [(MARK if text else SMALL) * scale for _, _, text, _ in anchors]
    taken: list[Box] = [
        (px - r, py - r, px + r, py + r) for (px, py), r in zip(marks, reach, strict=True)
    ]
    named = [mark for mark, (_, _, text, _) in zip(marks, anchors, strict=True) if text]
    extent = ax.get_window_extent()
    frame = (extent.x0, extent.y0, extent.x1, extent.y1)
    for anchor, own in zip(anchors, marks, strict=True):
        if not anchor[2]:
            continue
        boxes = [_box(*own, spot, anchor[2], scale) for spot in SPOTS]
        led = [_astray(box, own, [mark for mark in named if mark != own], scale) for box in boxes]
        areas = [_overlap(box, box) for box in boxes]
        costs = [
            sum(_overlap(box, other) for other in taken)
            + OUTSIDE * (area - _overlap(box, frame))
            + LEAD * lead * area
            for box, lead, area in zip(boxes, led, areas, strict=True)
        ]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        _write(ax, anchor, SPOTS[best], led=led[best], halo=halo)


def _write(
    ax: Axes, anchor: Anchor, spot: tuple[int, int, str, str], *, led: bool, halo: bool
) -> None:
    import matplotlib.patheffects as effects

    x, y, text, color = anchor
    dx, dy, side, edge = spot
    line = {"arrowstyle": "-", "color": color, "lw": 0.9, "shrinkA": 1.0, "shrinkB": 5.0}
    note = ax.annotate(
        text,
        (x, y),
        (dx, dy),
        textcoords="offset points",
        ha=side,
        va=edge,
        fontsize=SIZE,
        fontweight="bold",
        color=color,
        zorder=7,
        arrowprops=line if led else None,
        gid="label",
    )
    if halo:
        note.set_path_effects([effects.withStroke(linewidth=2.5, foreground="white")])


def _box(px: float, py: float, spot: tuple[int, int, str, str], text: str, scale: float) -> Box:
    """About where a text comes to lie: letters are 0.66 of their height wide."""
    dx, dy, side, edge = spot
    lines = text.split("\n")
    width, height = 0.66 * SIZE * max(map(len, lines)) * scale, 1.25 * SIZE * len(lines) * scale
    left = px + dx * scale - {"left": 0.0, "right": width, "center": width / 2}[side]
    bottom = py + dy * scale - {"bottom": 0.0, "top": height, "center": height / 2}[edge]
    return left, bottom, left + width, bottom + height


def _astray(
    box: Box, own: tuple[float, float], others: Sequence[tuple[float, float]], scale: float
) -> bool:
    """Whether nobody would know whose text that is."""
    away = _distance(box, own)
    return away > FAR * scale or any(_distance(box, other) < 1.2 * away for other in others)


def _distance(box: Box, point: tuple[float, float]) -> float:
    return math.hypot(
        max(box[0] - point[0], 0.0, point[0] - box[2]),
        max(box[1] - point[1], 0.0, point[1] - box[3]),
    )


def _overlap(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)

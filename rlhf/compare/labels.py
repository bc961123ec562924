"""Puts names beside marks so that they cover neither marks nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Anchor = tuple[float, float, str, str]  # x, y, text, colour; an empty text is a mark to keep free
Box = tuple[float, float, float, float]  # left, bottom, right, top
SIZE = 9.5  # points
MARK = 8.0  # points from a mark's middle to keep free
# (dx, dy) in points from the mark to the text's corner or middle, and which one that is
SPOTS = (
    *((9, 6, "left", "bottom"), (-9, 6, "right", "bottom"), (9, -6, "left", "top"), (-9, -6, "right", "top")),
    *((12, 0, "left", "center"), (-12, 0, "right", "center"), (0, 13, "center", "bottom"), (0, -13, "center", "top")),
    *((-9, 24, "right", "bottom"), (9, -24, "left", "top"), (-9, -24, "right", "top"), (9, 24, "left", "bottom")),
)


def place(ax: Axes, anchors: Sequence[Anchor], *, halo: bool = True) -> None:
    """Write each text at the spot around its mark that overlaps least with marks, earlier texts and the frame.

    The axes' limits must be final: the places are chosen on the drawn page. `halo`: a white rim; it turns an SVG's letters into outlines.
    """
    import matplotlib.patheffects as effects

    scale = ax.get_figure(root=True).dpi / 72.0  # type: ignore[union-attr]
    marks = [tuple(ax.transData.transform((x, y))) for x, y, _, _ in anchors]
    taken: list[Box] = [(px - MARK * scale, py - MARK * scale, px + MARK * scale, py + MARK * scale) for px, py in marks]
    frame = ax.get_window_extent()
    for (x, y, text, color), (px, py) in zip(anchors, marks, strict=True):
        if not text:
            continue
        boxes = [_box(px, py, spot, text, scale) for spot in SPOTS]
        costs = [sum(_overlap(box, other) for other in taken) + _outside(box, (frame.x0, frame.y0, frame.x1, frame.y1)) for box in boxes]
        best = costs.index(min(costs))
        dx, dy, side, edge = SPOTS[best]
        taken.append(boxes[best])
        note = ax.annotate(
            text, (x, y), (dx, dy), textcoords="offset points", ha=side, va=edge, fontsize=SIZE, fontweight="bold", color=color, zorder=7
        )
        if halo:
            note.set_path_effects([effects.withStroke(linewidth=2.5, foreground="white")])
        note.set_gid("label")


def _box(px: float, py: float, spot: tuple[int, int, str, str], text: str, scale: float) -> Box:
    """About where a text comes to lie: letters are 0.66 of their height wide."""
    dx, dy, side, edge = spot
    lines = text.split("\n")
    width, height = 0.66 * SIZE * max(map(len, lines)) * scale, 1.25 * SIZE * len(lines) * scale
    left = px + dx * scale - {"left": 0.0, "right": width, "center": width / 2}[side]
    bottom = py + dy * scale - {"bottom": 0.0, "top": height, "center": height / 2}[edge]
    return left, bottom, left + width, bottom + height


def _overlap(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _outside(box: Box, frame: Box) -> float:
    return 3.0 * ((box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, frame))

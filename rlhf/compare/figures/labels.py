"""Names beside marks, where there is room for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.look import Look
from rlhf.compare.figures.vega import points

if TYPE_CHECKING:
    import altair as alt

Anchor = tuple[float, float, str]  # share of the width, of the height from below, text
Box = tuple[float, float, float, float]
SIZE = 11  # pixels, of a letter's height
MARK = 7.0  # pixels from the middle of a mark to keep free
# pixels to the right, pixels up, and which end of the text that is
SPOTS = (
    *((12, 0, "left"), (-12, 0, "right"), (0, 15, "center"), (0, -15, "center")),
    *((9, 11, "left"), (-9, 11, "right"), (9, -11, "left"), (-9, -11, "right")),
)


@dataclass(frozen=True, kw_only=True)
class Spot:
    dx: int
    dy: int  # pixels down, as in Vega
    align: str


def place(anchors: Sequence[Anchor], width: float, height: float) -> list[Spot | None]:
    """For each text the first spot around its mark that overlaps neither a mark nor an earlier
    text nor the frame; None where there is none. An empty text is a mark to keep free."""
    marks = [(x * width, up * height) for x, up, _ in anchors]
    taken: list[Box] = [(x - MARK, up - MARK, x + MARK, up + MARK) for x, up in marks]
    spots: list[Spot | None] = []
    for (x, up), (_, _, text) in zip(marks, anchors, strict=True):
        free = [
            (box, Spot(dx=dx, dy=-dy, align=align))
            for dx, dy, align in SPOTS
            if text and _fits(box := _box(x + dx, up + dy, text, align), taken, width, height)
        ]
        taken += [box for box, _ in free[:1]]
        spots.append(free[0][1] if free else None)
    return spots


def _fits(box: Box, taken: Sequence[Box], width: float, height: float) -> bool:
    left, low, right, high = box
    inside = left >= 0 and low >= 0 and right <= width and high <= height
    return inside and not any(
        left < t[2] and t[0] < right and low < t[3] and t[1] < high for t in taken
    )


def _box(x: float, up: float, text: str, align: str) -> Box:
    """About where a text lies: letters are 0.6 of their height wide."""
    long = 0.6 * SIZE * len(text)
    left = {"left": x, "right": x - long, "center": x - long / 2}[align]
    return left, up - SIZE / 2, left + long, up + SIZE / 2


def draw(
    rows: Sequence[tuple[Mapping[str, Any], Spot | None]], look: Look, x: Any, y: Any, **font: Any
) -> list[alt.Chart]:
    """The texts that have a spot: a layer for each spot, below it a rim of the background's colour
    that keeps a name apart from the lines behind it."""
    layers = []
    rims: tuple[dict[str, Any], ...] = ({"stroke": look.paper, "strokeWidth": 3}, {})
    for spot in dict.fromkeys(spot for _, spot in rows if spot is not None):
        here = [row for row, its in rows if its == spot]
        for rim in rims:
            words = points(here).mark_text(
                dx=spot.dx,
                dy=spot.dy,
                align=spot.align,  # type: ignore[arg-type]
                baseline="middle",
                color=look.ink,
                aria=False,
                tooltip=None,
                **font,
                **rim,
            )
            layers.append(words.encode(x=x, y=y, text="text:N"))
    return layers

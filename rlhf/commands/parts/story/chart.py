"""Small charts of dots: two columns and four rows of dots a character (Braille)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # [column][row] of a character
BLANK = 0x2800
Points = Sequence[tuple[float, float]]


def chart(points: Points, *, width: int, height: int, plain: bool = False) -> list[str]:
    """`height` lines of `width` characters: a line through the points, with the largest and the
    smallest value at its left and the first and the last x below.

    Args:
        plain: for a terminal that knows ASCII alone.
    """
    points = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return []
    xs, ys = [x for x, _ in points], [y for _, y in points]
    top, bottom = number(max(ys)), number(min(ys))
    margin = max(len(top), len(bottom))
    columns = max(width - margin - 1, 4)
    cells = _cells(points, columns, height)
    lines = []
    for i, row in enumerate(cells):
        label = top if i == 0 else bottom if i == height - 1 else ""
        text = "".join(("*" if dots else " ") if plain else chr(BLANK + dots) for dots in row)
        lines.append(f"{label:>{margin}} {text}")
    first, last = number(min(xs)), number(max(xs))
    lines.append(" " * (margin + 1) + first + last.rjust(max(columns - len(first), len(last) + 1)))
    return lines


def _cells(points: Points, columns: int, height: int) -> list[list[int]]:
    """The dots of each character."""
    across, up = (
        _scale([x for x, _ in points], columns * 2),
        _scale([y for _, y in points], height * 4),
    )
    dots = [(across(x), height * 4 - 1 - up(y)) for x, y in points]
    cells = [[0] * columns for _ in range(height)]
    for (x0, y0), (x1, y1) in zip(dots, [*dots[1:], dots[-1]], strict=True):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for k in range(steps + 1):
            x, y = x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps
            column, row = round(x), round(y)
            cells[row // 4][column // 2] |= DOTS[column % 2][row % 4]
    return cells


def _scale(values: Sequence[float], size: int) -> Callable[[float], int]:
    low, span = min(values), max(values) - min(values)
    return lambda value: round((value - low) / span * (size - 1)) if span else size // 2


def number(value: float) -> str:
    """12, 1.64, -0.26, 1.2e-05"""
    return f"{value:.3g}"

"""Charts over iterations: controllers, and training health as small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.compare.figures.page_charts import SIZE, blank, draw_target, logarithmic, way_of
from rlhf.compare.figures.style import Styles
from rlhf.compare.read import Run, series
from rlhf.compare.statistics import Series, Setting, Steering
from rlhf.metrics import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = (3.3, 2.3)
MOST = 250  # points a line: more cannot be seen and make the page heavy
Steered = Sequence[tuple[Setting, Steering]]
Lines = list[tuple[str, Run, Series]]  # colour, run, its points


def vital(members: Sequence[tuple[Setting, Run]], what: Shown, styles: Styles) -> Figure | None:
    """A small panel; None where no run has the metric."""
    lines: Lines = [
        (styles[s.label][0], run, [(i, what.transform(v)) for i, v in series(run, *what.keys)])
        for s, run in members
    ]
    drawn = _lines(lines, 1.1, SMALL, fontsize=9.5)
    if drawn is None:
        return None
    fig, ax = drawn
    low, high = ax.get_ylim()
    if what.floor is not None and low < what.floor:
        ax.set_ylim(what.floor, max(high, 0.1))
    return fig


def coefficient(steering: Steered, styles: Styles) -> Figure | None:
    """The coefficient by iteration, on a logarithmic scale where all are above 0."""
    drawn = _lines([(styles[setting.label][0], s.run, s.coef) for setting, s in steering], 1.4)
    if drawn is None:
        return None
    fig, ax = drawn
    logarithmic(ax.set_yscale, ax.yaxis, [coef for _, s in steering for _, coef in s.coef])
    ax.set_ylabel("coefficient")
    return fig


def kl_over_iterations(steering: Steered, styles: Styles) -> Figure | None:
    """The KL of the rollouts by iteration, with the targets (nats a response) as lines."""
    drawn = _lines([(styles[setting.label][0], s.run, s.measured) for setting, s in steering], 1.2)
    if drawn is None:
        return None
    fig, ax = drawn
    for level in sorted({s.target for _, s in steering if s.unit == "sequence"}):
        draw_target(ax, level, lift=3)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("KL to SFT, nats a response")
    return fig


def _lines(
    lines: Lines, width: float, size: tuple[float, float] = SIZE, fontsize: float = 10.5
) -> tuple[Figure, Axes] | None:
    """A panel with a line a run; None where none has a point."""
    if not any(points for *_, points in lines):
        return None
    fig, ax = blank(size, fontsize)
    for color, run, points in lines:
        if points:
            way_of(ax, run.name, thin(points), color, lw=width, alpha=0.8)
    ax.set_xlabel("iteration")
    return fig, ax


def thin(points: Series, most: int = MOST) -> list[tuple[float, float]]:
    """At most about `most` points, evenly chosen, the last among them."""
    step = max(math.ceil(len(points) / most), 1)
    kept = list(points[::step])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]

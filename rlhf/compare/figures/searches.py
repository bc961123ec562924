"""The charts of a search: its trials and the Pareto front, the best so far, or the curve and its
target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.page_charts import blank, draw_target, logarithmic
from rlhf.compare.figures.style import draw_ring
from rlhf.compare.figures.svg import INK, MARK, MUTED, PAPER
from rlhf.compare.read import Crossing, Run, Search, Trial, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = Callable[[Run | None], tuple[str, str]]  # a run's colour and marker
PALE = 0.5


def figure(search: Search, style: Style) -> Figure | None:
    """The trials over two objectives, or over time for one; None for more objectives, or where
    no trial has a result."""
    if not search.valued or len(search.goals) > 2:
        return None
    return _front(search, style) if len(search.goals) == 2 else _progress(search, style)


def mark_of(search: Search | Crossing, number: int) -> str:
    """The key of a trial's mark, or of a level's."""
    return f"{search.name}-{number}"


def staircase(
    front: Sequence[tuple[float, float]], more: tuple[bool, bool], frame: tuple[float, float]
) -> list[tuple[float, float]]:
    """The line that bounds what the front beats, from the frame's worst y to its worst x.

    Args:
        front: (x, y), none beaten by another.
        more: whether more of x, and of y, is better.
        frame: the worst x and the worst y to draw.
    """
    corners, level = [], frame[1]
    # from the best x on: each next one is worse in x and better in y
    for x, y in sorted(front, reverse=more[0]):
        corners += [(x, level), (x, y)]
        level = y
    return [*corners, (frame[0], level)]


def _front(search: Search, style: Style) -> Figure:
    """The second objective across, the first up."""
    fig, ax = blank()
    up, across = search.goals
    for trial in search.valued:
        _mark(ax, search, trial, trial.values[across], trial.values[up], style)
    ax.margins(0.1)
    more = (search.goals[across], search.goals[up])
    if search.front:
        xlim, ylim = ax.get_xlim(), ax.get_ylim()
        worst = (xlim[not more[0]], ylim[not more[1]])
        points = [(t.values[across], t.values[up]) for t in search.front]
        line = staircase(points, more, worst)
        ax.plot(*zip(*line, strict=True), color=INK, lw=1.3, zorder=2, gid="staircase")
        ax.set(xlim=xlim, ylim=ylim)
    ax.set(xlabel=named(across), ylabel=named(up))
    return fig


def _progress(search: Search, style: Style) -> Figure:
    """Each trial's value, and the best one so far."""
    from matplotlib.ticker import MaxNLocator

    fig, ax = blank()
    ((goal, more),) = search.goals.items()
    for trial in search.valued:
        _mark(ax, search, trial, trial.number, trial.values[goal], style)
    best = accumulate((t.values[goal] for t in search.valued), max if more else min)
    ax.step(
        [t.number for t in search.valued],
        list(best),
        where="post",
        color=INK,
        lw=1.3,
        zorder=2,
        gid="staircase",
    )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="trial", ylabel=named(goal))
    return fig


def _mark(ax: Axes, search: Search, trial: Trial, x: float, y: float, style: Style) -> None:
    look: dict[str, Any] = {} if trial.front else {"ms": 7.0, "alpha": PALE, "zorder": 4}
    _point(ax, x, y, style(trial.run), mark_of(search, trial.number), **look)


def _point(ax: Axes, x: float, y: float, look: tuple[str, str], key: str, **other: Any) -> None:
    color, marker = look
    usual: dict[str, Any] = {"ms": 9.0, "zorder": 5, "mec": PAPER, "mew": 0.8, "ls": "none"}
    ax.plot([x], [y], marker=marker, color=color, gid=f"{MARK}{key}", **usual | other)


def curve(search: Crossing, style: Style) -> Figure:
    """The measured values against the setting, both on logarithmic scales where they are above 0,
    and the target with its tolerance."""
    fig, ax = blank()
    for i, level in enumerate(search.levels):
        look = style(level.runs[0] if level.runs else None)
        if math.isfinite(level.error):
            bar: dict[str, Any] = {"fmt": "none", "elinewidth": 1.2, "zorder": 3}
            ax.errorbar([level.x], [level.y], yerr=[level.error], color=look[0], **bar)
        _point(ax, level.x, level.y, look, mark_of(search, i))
    xs, ys = ([getattr(level, axis) for level in search.levels] for axis in "xy")
    logarithmic(ax.set_xscale, ax.xaxis, xs)
    logarithmic(ax.set_yscale, ax.yaxis, ys)
    ax.plot(
        *zip(*sorted(zip(xs, ys, strict=True)), strict=True),
        color=MUTED,
        lw=1.0,
        alpha=0.6,
        zorder=1,
    )
    if math.isfinite(search.tolerance):
        near = [search.target * (1 + side * search.tolerance) for side in (-1, 1)]
        ax.axhspan(near[0], near[1], color=MUTED, alpha=0.18, lw=0, zorder=0, gid="tolerance")
    draw_target(ax, search.target, lift=4, zorder=1)
    if search.found:
        draw_ring(ax, (search.nearest.x, search.nearest.y))
    ax.set(xlabel=search.setting, ylabel=named(search.objective))
    return fig

"""The large charts of report.html, one panel a figure so that they stack on a phone: frontier,
over-optimisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.frontier_data import FrontierData, Mark
from rlhf.compare.figures.place_names import place
from rlhf.compare.figures.style import Styles, canvas, draw_lines, draw_ring, draw_sft, square_root
from rlhf.compare.figures.svg import GRID, INK, LINE, MARK, MUTED, PAPER
from rlhf.compare.read import Run
from rlhf.compare.statistics import Fit, Setting, gap_path, gold_gains

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = (5.1, 3.7)  # inches; a page shows an inch as 72 to 100 px
# up to so many settings, each with a name up to so long, are named beside their marks
NAMED = (10, 12)


def blank(size: tuple[float, float] = SIZE, fontsize: float = 10.5) -> tuple[Figure, Axes]:
    """An empty panel in the page's manner."""
    fig = canvas(size, 72)
    ax = fig.add_subplot()
    ax.grid(True, lw=0.6, color=GRID, zorder=-1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=fontsize - 0.5)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=INK, fontsize=fontsize)
    return fig, ax


def frontier(data: FrontierData, *, rooted: bool) -> Figure:
    """Reward against KL: a mark a run, its way through training, and where there are seeds the
    mean with its 95 % interval."""
    fig, ax = blank()
    for mark in data.drawn:
        for way in mark.runs:
            if len(way.path) > 1:
                way_of(ax, way.name, way.path, mark.color, lw=1.1, alpha=0.4, zorder=1)
        _ends(ax, mark)
        if mark.several:
            _mean(ax, mark)
    draw_lines(ax, data.lines)
    if data.best_of_n:
        ax.plot(
            *zip(*data.best_of_n, strict=True),
            ls="--",
            marker="s",
            ms=4,
            lw=1.0,
            color=MUTED,
            zorder=2,
            gid="path",
        )
    if data.sft is not None:
        draw_sft(ax, data.sft, line=MUTED, edge=PAPER, size=14, gid=f"{MARK}sft")
    ways = [way for mark in data.drawn for way in mark.runs]
    right = max(0.0, *(x for way in ways for x, _ in (*way.path, way.end or (0.0, 0.0))))
    _kl_axis(ax, right, 1.12 if rooted else 1.06, rooted=rooted)
    ax.set_ylabel(f"{data.key.removeprefix('reward/')} reward")
    ax.margins(y=0.1)
    if data.best is not None:
        draw_ring(ax, data.best.mean)
    fig.canvas.draw()
    _names(ax, data)
    return fig


def _names(ax: Axes, data: FrontierData) -> None:
    """Names beside the means; the best has the choice of places."""
    short = max(len(mark.short) for mark in data.drawn) <= NAMED[1]
    named = len(data.drawn) <= NAMED[0] and short
    means = [
        (*mark.mean, mark.short if named else "", mark.color)
        for mark in sorted(data.drawn, key=lambda mark: mark is not data.first)
    ]
    small = [
        (*way.end, "", INK)
        for mark in data.drawn
        for way in mark.runs
        if mark.several and way.end is not None
    ]
    place(ax, [*means, *small], halo=False)


def way_of(
    ax: Axes, run: str, points: Sequence[tuple[float, float]], color: str, **style: Any
) -> None:
    """A run's line, which takes hover and focus."""
    ax.plot(*zip(*points, strict=True), color=color, gid=f"{LINE}{run}", **style)


def _ends(ax: Axes, mark: Mark) -> None:
    """The runs; of a single one also the noise of its evaluation."""
    size: dict[str, Any] = {"ms": 5.5, "alpha": 0.95} if mark.several else {"ms": 9.5, "alpha": 1.0}
    for way, (x, y) in [(way, way.end) for way in mark.runs if way.end is not None]:
        if not mark.several:
            ax.errorbar(
                [x], [y], *way.errors[::-1], color=mark.color, fmt="none", elinewidth=1.2, zorder=3
            )
        ax.plot(
            [x],
            [y],
            marker=mark.marker,
            color=mark.color,
            mec=PAPER,
            mew=0.8,
            ls="none",
            zorder=5,
            gid=f"{MARK}{way.name}",
            **size,
        )


def _mean(ax: Axes, mark: Mark) -> None:
    x, y = mark.x_interval, mark.y_interval
    bar: dict[str, Any] = {"lw": 1.8, "zorder": 4, "solid_capstyle": "round"}
    ax.plot([x.low, x.high], [y.mean] * 2, color=mark.color, **bar)
    ax.plot([x.mean] * 2, [y.low, y.high], color=mark.color, **bar)
    ax.plot(
        [x.mean],
        [y.mean],
        marker=mark.marker,
        ms=12,
        color=mark.color,
        mec=PAPER,
        mew=1.1,
        ls="none",
        zorder=4,
        gid=f"{MARK}setting-{mark.label}",
    )


def gap_along_kl(members: Sequence[tuple[Setting, Run]], styles: Styles) -> Figure:
    """Gain in proxy less gain in gold over SFT, along each run's training."""
    fig, ax = blank()
    small: dict[str, Any] = {"ms": 6.5, "mec": PAPER, "mew": 0.8, "ls": "none", "zorder": 3}
    for setting, run in members:
        color, marker = styles[setting.label]
        path = gap_path(run)
        if len(path) > 1:
            way_of(ax, run.name, path, color, lw=1.3, alpha=0.8, zorder=2)
            ax.plot(*path[-1], marker=marker, color=color, **small)
    ax.axhline(0.0, color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=0)
    ax.set_xlim(left=0.0)
    ax.set(xlabel="KL to SFT, nats a response", ylabel="proxy gain − gold gain")
    return fig


def fitted(points: Sequence[tuple[Setting, Run]], fit: Fit, styles: Styles) -> Figure:
    """Gold's gain over SFT against KL on a square-root scale, and the fitted form through it."""
    fig, ax = blank()
    small: dict[str, Any] = {"ms": 4.5, "mec": PAPER, "mew": 0.5, "ls": "none", "alpha": 0.85}
    for setting, run in points:
        color, marker = styles[setting.label]
        gains = gold_gains(run, fit.start.mean)
        way_of(ax, run.name, gains, color, marker=marker, zorder=3, **small)
    top = fit.furthest
    line = [top * (i / 80) ** 2 for i in range(81)]
    ax.plot(line, [fit.gain(kl) for kl in line], color=INK, lw=1.8, zorder=2, gid="fit")
    if fit.peak is not None:
        ax.axvline(fit.peak, color=MUTED, lw=0.9, ls=(0, (2, 3)), zorder=1)
        ax.annotate(
            f"peak of the fit: {fit.peak:.2g} nats",
            (fit.peak, 0.0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(5, 6),
            textcoords="offset points",
            color=INK,
            fontsize=10,
            gid="label",
        )
    ax.axhline(0.0, color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=0)
    _kl_axis(ax, top, 1.06, rooted=True)
    ax.set_ylabel("gold gain over SFT")
    return fig


def _kl_axis(ax: Axes, right: float, room: float, *, rooted: bool) -> None:
    """KL from 0 to `room` times the largest one, on a square-root scale if `rooted`."""
    if rooted:
        square_root(ax)
        ax.set_xticks(root_ticks(right))
    ax.set_xlim(0.0, right * room or 1.0)
    ax.set_xlabel("KL to SFT, nats a response" + (" (square-root scale)" if rooted else ""))


def root_ticks(right: float) -> list[float]:
    """Round KLs, about evenly far apart on a square-root scale."""
    step = math.sqrt(max(right, 0.0)) / 5
    ticks = [0.0]
    for raw in [(i * step) ** 2 for i in range(1, 6) if step > 0]:
        unit = 10.0 ** math.floor(math.log10(raw))
        tick = min((m * unit for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10)), key=lambda t: abs(t - raw))
        if ticks[-1] < tick <= right:
            ticks.append(tick)
    return ticks


def draw_target(ax: Axes, level: float, *, lift: float, **line: Any) -> None:
    """A dashed line at a target, and its number at the right end."""
    ax.axhline(level, color=INK, lw=1.2, ls=(0, (5, 3)), **line)
    ax.annotate(
        f"target {level:g}",
        (1.0, level),
        xycoords=ax.get_yaxis_transform(),
        xytext=(-2, lift),
        textcoords="offset points",
        ha="right",
        color=INK,
        fontsize=9.5,
        gid="label",
    )


def logarithmic(set_scale: Callable[[str], None], axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic scale with ticks at 1, 2 and 5, where the values are above 0 and reach over
    a factor of 3."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if not values or min(values) <= 0 or max(values) < 3 * min(values):
        return
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())

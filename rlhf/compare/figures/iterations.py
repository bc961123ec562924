"""Charts over iterations: of the controllers, for report.html and as controllers.png, and training
health as small multiples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.compare.figures.page_charts import SIZE, blank, draw_target, logarithmic, way_of
from rlhf.compare.figures.style import DPI, GREY, INK, Styles, canvas, styles_of
from rlhf.compare.read import Run, series
from rlhf.compare.statistics import BAND, Series, Setting, Steering, Study
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
    fig, ax = _panel(lines, 1.1, SMALL, fontsize=9.5)
    low, high = ax.get_ylim()
    if what.floor is not None and low < what.floor:
        ax.set_ylim(what.floor, max(high, 0.1))
    return fig


def coefficient(steering: Steered, styles: Styles) -> Figure | None:
    """The coefficient by iteration, on a logarithmic scale where all are above 0."""
    fig, ax = _panel([(styles[setting.label][0], s.run, s.coef) for setting, s in steering], 1.4)
    logarithmic(ax.set_yscale, ax.yaxis, [coef for _, s in steering for _, coef in s.coef])
    ax.set_ylabel("coefficient")
    return fig


def kl_over_iterations(steering: Steered, styles: Styles) -> Figure | None:
    """The KL of the rollouts by iteration, with the targets (nats a response) as lines."""
    lines: Lines = [(styles[setting.label][0], s.run, s.measured) for setting, s in steering]
    fig, ax = _panel(lines, 1.2)
    for level in sorted({s.target for _, s in steering if s.unit == "sequence"}):
        draw_target(ax, level, lift=3)
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel("KL to SFT, nats a response")
    return fig


def _panel(
    lines: Lines, width: float, size: tuple[float, float] = SIZE, fontsize: float = 10.5
) -> tuple[Figure | None, Axes]:
    """A panel with a line a run. The figure is None where no run has a point."""
    fig, ax = blank(size, fontsize)
    drawn = [(color, run, thin(points)) for color, run, points in lines if points]
    for color, run, points in drawn:
        way_of(ax, run.name, points, color, lw=width, alpha=0.8)
    ax.set_xlabel("iteration")
    return fig if drawn else None, ax


def thin(points: Series, most: int = MOST) -> Series:
    """At most about `most` of the points, evenly chosen, the last among them."""
    step = max(math.ceil(len(points) / most), 1)
    return [*points[:-1:step], *points[-1:]]


def controllers(study: Study) -> Figure:
    """controllers.png, of a study whose coefficients moved: KL, its distance from the target and
    the coefficient by iteration; a colour a setting, a line a run."""
    colors = {label: color for label, (color, _) in styles_of(study.settings).items()}
    steered = [(setting, s) for setting, s in study.steering if s.unit]
    fig = canvas((8.5, 8.5 if steered else 6), DPI)
    axes = list(fig.subplots(3 if steered else 2, sharex=True, squeeze=False).flat)
    for setting, s in study.steering:
        color, first = colors[setting.label], s.run is setting.runs[0]
        if s.exact:  # over the faint estimate of each rollout
            _line(axes[0], s.rollouts, color, lw=0.6, alpha=0.3)
        _line(axes[0], s.exact or s.rollouts, color, setting.short if first else "_")
        _line(axes[-1], s.coef, color)
    for setting, s in steered:
        off = [(i, 100 * (kl / s.target - 1)) for i, kl in s.kl]
        _line(axes[1], off, colors[setting.label])
    for level in sorted({s.target for _, s in steered if s.unit == "sequence"}):
        axes[0].axhline(level, color=INK, lw=1, ls="--", label=f"target {level:g}")
    for level in sorted({round(s.solved, 4) for _, s in steered if math.isfinite(s.solved)}):
        label = f"the coefficient that gives the target: {level:.3g}"
        axes[-1].axhline(level, color=INK, lw=1, ls=":", label=label)
    if steered:
        axes[1].axhspan(-100 * BAND, 100 * BAND, color=GREY, alpha=0.18, lw=0)
        axes[1].set(ylim=(-60, 120), ylabel="KL against its target (%)")
    if all(coef > 0 for _, s in study.steering for _, coef in s.coef):
        axes[-1].set_yscale("log")
        axes[-1].yaxis.set_major_formatter("{x:g}")
        axes[-1].yaxis.set_minor_formatter("{x:g}")
    title = "How the coefficient moved, and the KL with it"
    axes[0].set_title(title, loc="left", fontsize=11, color=INK)
    axes[0].set_ylabel("KL (nats a response)")
    axes[-1].set(xlabel="iteration", ylabel="coefficient")
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=8, frameon=False)
    return fig


def _line(
    ax: Axes, points: Series, color: str, label: str = "_", lw: float = 1.3, alpha: float = 1.0
) -> None:
    if points:
        ax.plot(*zip(*points, strict=True), color=color, lw=lw, label=label, alpha=alpha)

"""controllers.png: KL, its distance from the target and the coefficient by iteration; a colour a
setting, a line a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlhf.compare.figures.style import DPI, GREY, INK, canvas, styles_of
from rlhf.compare.statistics import BAND, Series, Steering, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def figure(study: Study) -> Figure:
    """The picture of a study whose coefficients moved."""
    colors = {label: color for label, (color, _) in styles_of(study.settings).items()}
    steered = [(setting, s) for setting, s in study.steering if s.unit]
    fig = canvas((8.5, 8.5 if steered else 6), DPI)
    axes = list(fig.subplots(3 if steered else 2, sharex=True, squeeze=False).flat)
    for setting, s in study.steering:
        color, first = colors[setting.label], s.run is setting.runs[0]
        if s.exact:  # over the faint estimate of each rollout
            axes[0].plot(*zip(*s.rollouts, strict=True), color=color, lw=0.6, alpha=0.3)
        _line(axes[0], s.exact or s.rollouts, color, setting.short if first else "_")
        _line(axes[-1], s.coef, color)
    for setting, s in steered:
        off = [(i, 100 * (kl / s.target - 1)) for i, kl in s.kl]
        _line(axes[1], off, colors[setting.label])
    _levels(axes, [s for _, s in steered])
    if all(coef > 0 for _, s in study.steering for _, coef in s.coef):
        axes[-1].set_yscale("log")
        axes[-1].yaxis.set_major_formatter("{x:g}")
        axes[-1].yaxis.set_minor_formatter("{x:g}")
    _finish(axes)
    return fig


def _line(ax: Axes, points: Series, color: str, label: str = "_") -> None:
    if points:
        ax.plot(*zip(*points, strict=True), color=color, lw=1.3, label=label)


def _levels(axes: Sequence[Axes], steered: Sequence[Steering]) -> None:
    """The targets, the coefficients that give them, and the band that counts as at the target."""
    for level in sorted({s.target for s in steered if s.unit == "sequence"}):
        axes[0].axhline(level, color=INK, lw=1, ls="--", label=f"target {level:g}")
    for level in sorted({round(s.solved, 4) for s in steered if math.isfinite(s.solved)}):
        label = f"the coefficient that gives the target: {level:.3g}"
        axes[-1].axhline(level, color=INK, lw=1, ls=":", label=label)
    if steered:
        axes[1].axhspan(-100 * BAND, 100 * BAND, color=GREY, alpha=0.18, lw=0)
        axes[1].set_ylim(-60, 120)
        axes[1].set_ylabel("KL against its target (%)")


def _finish(axes: Sequence[Axes]) -> None:
    axes[0].set_title(
        "How the coefficient moved, and the KL with it", loc="left", fontsize=11, color=INK
    )
    axes[0].set_ylabel("KL (nats a response)")
    axes[-1].set_ylabel("coefficient")
    axes[-1].set_xlabel("iteration")
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=8, frameon=False)

"""Reward against KL: frontier.png with a panel for each reward, and oracle.png, the runs of an
enumerable problem beside its exact frontier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from rlhf.compare.figures.frontier_data import FrontierData, Mark
from rlhf.compare.figures.place_names import Anchor, place
from rlhf.compare.figures.style import (
    ALARM,
    DPI,
    GREY,
    INK,
    canvas,
    draw_lines,
    draw_ring,
    draw_sft,
    square_root,
)
from rlhf.compare.statistics import Exact, Interval, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELLED = 10  # settings that can be named beside their marks or in a corner


def figure(study: Study, panels: Sequence[FrontierData], title: str = "") -> Figure:
    """One panel a reward: small marks are runs, large ones means with their spread, faint lines the
    way through training.

    x is KL to the SFT policy in nats a response; on a square-root scale where one setting went much
    further than the rest.
    """
    columns = 3 if len(panels) == 3 else min(len(panels), 2)
    rows = math.ceil(len(panels) / columns)
    few = len(study.settings) <= LABELLED
    beside = few and max(len(s.short) for s in study.settings) <= 12
    width = (4.8 if columns == 3 else 5.6) * columns + (0.0 if few else 2.8)
    lines = wrap(title, int(8.5 * width))
    top = 0.2 + 0.25 * max(len(lines), 1)  # inches
    height = 4.4 * rows + 0.45 + top
    fig = canvas((width, height), DPI)
    fig.set_layout_engine(
        "constrained", w_pad=0.08, h_pad=0.08, rect=(0, 0.3 / height, 1, 1 - (0.3 + top) / height)
    )
    axes = list(fig.subplots(rows, columns, squeeze=False).flat)
    for ax, data in zip(axes, panels, strict=False):
        _panel(ax, data)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    fig.suptitle(
        "\n".join(lines),
        x=0.1 / width,
        y=1 - 0.12 / height,
        ha="left",
        va="top",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    note = {"fontsize": 8.5, "color": GREY, "ha": "left", "va": "bottom"}
    fig.text(0.1 / width, 0.1 / height, _caption(study), fontdict=note)
    if not few:
        handles = axes[0].get_legend_handles_labels()
        fig.legend(*handles, loc="outside right upper", fontsize=8, frameon=False)
    elif not beside:
        axes[0].legend(loc="lower right", fontsize=8.5, framealpha=0.92, edgecolor="none")
    fig.canvas.draw()
    for ax, data in zip(axes, panels, strict=False):
        place(ax, _names(data, beside=beside))
    return fig


def _names(data: FrontierData, *, beside: bool) -> list[Anchor]:
    """Those of the settings, where they have room beside their marks, of SFT and of the arrow."""
    names = [(*mark.mean, mark.short if beside else "", INK) for mark in data.drawn]
    names += [] if data.sft is None else [(0.0, data.sft, "SFT", INK)]
    if data.lost is not None:
        (_, high), (at, low) = data.lost
        names.append((at, low, f"{low - high:.2g} gold\nwhere proxy is highest", ALARM))
    return names


def _panel(ax: Axes, data: FrontierData) -> None:
    for mark in data.marks:
        _runs(ax, mark)
        if mark.drawn:
            x, y = mark.x_interval, mark.y_interval
            ax.errorbar(
                [x.mean],
                [y.mean],
                xerr=_bar(x),
                yerr=_bar(y),
                color=mark.color,
                fmt=mark.marker,
                label=mark.label,
                gid="mean",
                ms=9,
                mec="white",
                mew=1.0,
                capsize=2.5,
                elinewidth=1.2,
                zorder=4,
            )
    draw_lines(ax, data.lines)
    if data.sft is not None:
        draw_sft(ax, data.sft, line=GREY, edge="white", size=13, gid="sft")
    _axes(ax, data)
    if data.best is not None:
        draw_ring(ax, data.best.mean, size=19, width=1.3)
    if data.lost is not None:
        (best, high), (at, low) = data.lost
        ax.plot(
            [best, at], [high, high], color=ALARM, lw=1.0, ls=(0, (2, 2)), zorder=2, gid="gamed"
        )
        ax.annotate(
            "",
            xy=(at, low),
            xytext=(at, high),
            arrowprops={"arrowstyle": "->", "color": ALARM, "lw": 1.6, "shrinkB": 6},
            zorder=5,
        )


def _runs(ax: Axes, mark: Mark) -> None:
    for way in mark.runs:
        if len(way.path) > 1:
            ax.plot(
                *zip(*way.path, strict=True),
                color=mark.color,
                lw=1.0,
                alpha=0.28,
                zorder=1,
                gid="path",
            )
        if mark.several and way.end is not None:
            ax.plot(
                *([x] for x in way.end),
                marker=mark.marker,
                ms=4.5,
                color=mark.color,
                alpha=0.55,
                mec="none",
                ls="none",
                zorder=3,
                gid="run",
            )


def _axes(ax: Axes, data: FrontierData) -> None:
    furthest = sorted(mark.x.mean for mark in data.drawn)
    right = max(
        [x for mark in data.marks for way in mark.runs for x, _ in way.path]
        + [mark.x.mean + _bar(mark.x_interval) for mark in data.drawn]
    )
    wide = len(furthest) > 2 and right > 4.0 * max(furthest[len(furthest) // 2], 1e-9)
    if wide:
        square_root(ax)
    ax.set_xlim(0.0, right * (1.15 if wide else 1.08) or 1.0)
    ax.set_title(data.title, loc="left", fontsize=11, color=INK)
    ax.set_ylabel(f"{data.key.removeprefix('reward/')} reward", color=INK)
    ax.set_xlabel(f"KL to SFT (nats a response{', square-root scale' if wide else ''})", color=INK)
    ax.grid(True, lw=0.5, color="#E2E2E2", zorder=-1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(y=0.14)
    ax.tick_params(colors=INK, labelsize=9)


def _caption(study: Study) -> str:
    keys = ", ".join(dict.fromkeys(k for s in study.settings for k in s.values)) or "kl.coef"
    marks = (
        "Small marks: runs; large: means, bars 95 % intervals over seeds"
        if max(len(s.runs) for s in study.settings) > 1
        else "Marks: runs; bars: 95 % intervals of the evaluation alone"
    )
    star = "  Star: SFT." if len(study.starts) < 2 else ""
    return f"Names: {keys}.  {marks}.  Faint: the way through training.{star}  Ring: best."


def _bar(interval: Interval) -> float:
    return interval.half if interval.known else 0.0


def exact_figure(exact: Exact, size: tuple[float, float] = (8, 5)) -> Figure:
    """The best reward at every KL, our runs, and best of n of the reference. Each distinct
    reference has a frontier of its own."""
    fig = canvas(size)
    axes = fig.add_subplot()
    distinct = {tuple(point["kl"] for point in curve["frontier"]): curve for curve in exact.curves}
    for i, curve in enumerate(distinct.values()):  # "_" keeps a line out of the legend
        optimal, kept = (
            [[point[axis] for point in curve[name]] for axis in ("kl", "reward")]
            for name in ("frontier", "best_of_n")
        )
        axes.plot(*optimal, color="#444444", lw=1.2, zorder=1, label="_" if i else "exact frontier")
        axes.plot(
            *kept,
            "s--",
            color="#999999",
            ms=4,
            lw=0.8,
            label="_" if i else "best of n of the reference, exact",
        )
    for i, beta in enumerate(sorted({row["beta"] for row in exact.rows})):
        of = [row for row in exact.rows if row["beta"] == beta]
        share = min(row["share_of_gain"] for row in of)
        label = f"PPO at {beta:g}: {share:.1%} of the gain" + (" at least" if len(of) > 1 else "")
        axes.scatter(
            [r["kl"] for r in of],
            [r["reward"] for r in of],
            s=42,
            color=f"C{i}",
            label=label,
            zorder=3,
            edgecolors="white",
        )
    axes.set(
        xlabel="KL to the reference (nats a response, exact)",
        ylabel="reward that PPO maximises (exact)",
        title="Did PPO do as well as it could?",
    )
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.2)
    return fig

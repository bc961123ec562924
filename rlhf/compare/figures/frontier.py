"""The picture of a sweep: reward against KL, a panel for each reward."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.palette import mix
from rlhf.compare.figures.place_names import Anchor, place
from rlhf.compare.read.curves import KL, evaluations, final
from rlhf.compare.read.provenance import starts
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.findings import GOLD, PROXY, Findings
from rlhf.compare.statistics.settings import ABSENT, Setting, order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY, ALARM = "#222222", "#767676", "#B3400A"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
# dark, light
HUES = (
    ("#1f2f8f", "#3fa7d6"),
    ("#8f1d1d", "#e69f00"),
    ("#0b5d3b", "#8fb339"),
    ("#5b1a7a", "#d77fc0"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "*")
DPI = 150
COEF = "kl.coef"
LABELLED = 10  # settings that can be named beside their marks or in a corner


def figure(
    settings: Sequence[Setting], rewards: Sequence[str], found: Findings | None, title: str = ""
) -> Figure:
    """One panel a reward: small marks are runs, large ones means with their spread, faint lines the
    way through training.

    x is KL to the SFT policy in nats a response; on a square-root scale where one setting went much
    further than the rest.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 3 if len(rewards) == 3 else min(len(rewards), 2)
    rows = math.ceil(len(rewards) / columns)
    beside, below = _naming(settings)
    width = (4.8 if columns == 3 else 5.6) * columns + (2.8 if below else 0.0)
    said = wrap(title, int(8.5 * width))
    top = 0.2 + 0.25 * max(len(said), 1)  # inches
    height = 4.4 * rows + 0.45 + top
    fig = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(fig)
    fig.set_layout_engine(
        "constrained", w_pad=0.08, h_pad=0.08, rect=(0, 0.3 / height, 1, 1 - (0.3 + top) / height)
    )
    axes = list(fig.subplots(rows, columns, squeeze=False).flat)
    styles = styles_of(settings)
    for ax, key in zip(axes, rewards, strict=False):
        _panel(ax, settings, key, styles)
    for ax in axes[len(rewards) :]:
        ax.set_axis_off()
    shown = dict(zip(rewards, axes, strict=False))
    notes = _mark_findings(shown, found) if found is not None else {}
    fig.suptitle(
        "\n".join(said),
        x=0.1 / width,
        y=1 - 0.12 / height,
        ha="left",
        va="top",
        fontsize=13,
        fontweight="bold",
        color=INK,
    )
    fig.text(
        0.1 / width,
        0.1 / height,
        _caption(settings),
        fontsize=8.5,
        color=GREY,
        ha="left",
        va="bottom",
    )
    if below:
        fig.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside right upper",
            fontsize=8,
            frameon=False,
        )
    elif not beside:
        axes[0].legend(loc="lower right", fontsize=8.5, framealpha=0.92, edgecolor="none")
    fig.canvas.draw()
    for key, ax in shown.items():
        names = [
            (s[KL].mean, s[key].mean, s.short if beside else "", INK)
            for s in settings
            if drawn(s, key)
        ]
        place(ax, [*names, *_sft_label(settings, key), *notes.get(key, [])])
    return fig


def draw(
    path: Path,
    settings: Sequence[Setting],
    rewards: Sequence[str],
    found: Findings | None,
    title: str = "",
) -> Path:
    """Write `figure` as a PNG."""
    figure(settings, rewards, found, title).savefig(path, dpi=DPI)
    return path


def drawable(settings: Sequence[Setting], rewards: Sequence[str]) -> list[str]:
    """The rewards that have a point to draw."""
    return [key for key in rewards if any(drawn(s, key) for s in settings)]


def path_of(run: Run, key: str) -> list[tuple[float, float]]:
    """(KL, reward) at each evaluation of a run, finite ones."""
    return [(e.kl, e.reward) for e in evaluations(run, key)]


def _panel(
    ax: Axes, settings: Sequence[Setting], key: str, styles: dict[str, tuple[str, str]]
) -> None:
    for setting in settings:
        color, marker = styles[setting.label]
        for run in setting.runs:
            path = path_of(run, key)
            if len(path) > 1:
                ax.plot(
                    *zip(*path, strict=True), color=color, lw=1.0, alpha=0.28, zorder=1, gid="path"
                )
            x, y = final(run, KL), final(run, key)
            if len(setting.runs) > 1 and math.isfinite(x) and math.isfinite(y):
                ax.plot(
                    [x],
                    [y],
                    marker=marker,
                    ms=4.5,
                    color=color,
                    alpha=0.55,
                    mec="none",
                    ls="none",
                    zorder=3,
                    gid="run",
                )
        if drawn(setting, key):
            x_est, y_est = setting[KL], setting[key]
            bars: dict[str, Any] = {"xerr": _bar(x_est.spread), "yerr": _bar(y_est.spread)}
            style: dict[str, Any] = {
                "ms": 9,
                "mec": "white",
                "mew": 1.0,
                "capsize": 2.5,
                "elinewidth": 1.2,
                "zorder": 4,
            }
            ax.errorbar(
                [x_est.mean],
                [y_est.mean],
                **bars,
                color=color,
                fmt=marker,
                label=setting.label,
                gid="mean",
                **style,
            )
    families_joined(ax, settings, key, styles)
    base = sft_level(settings, key)
    if base is not None:
        ax.axhline(base, color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=0)
        ax.plot(
            [0.0],
            [base],
            marker="*",
            ms=13,
            color=INK,
            mec="white",
            mew=0.8,
            ls="none",
            zorder=5,
            gid="sft",
            clip_on=False,
        )
    _axes(ax, settings, key)


def families_joined(
    ax: Axes, settings: Sequence[Setting], key: str, styles: Mapping[str, tuple[str, str]]
) -> None:
    """Join the means of settings that differ in the coefficient only."""
    kin = [
        family
        for family in families([s for s in settings if drawn(s, key) and COEF in s.values])
        if len(family) > 1
    ]
    for family in kin:
        points = sorted((s[KL].mean, s[key].mean) for s in family)
        color = styles[family[len(family) // 2].label][0] if len(kin) > 1 else GREY
        ax.plot(
            *zip(*points, strict=True), color=color, lw=1.8, alpha=0.6, zorder=2, gid="frontier"
        )


def _axes(ax: Axes, settings: Sequence[Setting], key: str) -> None:
    furthest = sorted(s[KL].mean for s in settings if drawn(s, key))
    right = max(
        [x for s in settings for run in s.runs for x, _ in path_of(run, key)]
        + [s[KL].mean + _bar(s[KL].spread) for s in settings if drawn(s, key)]
    )
    wide = len(furthest) > 2 and right > 4.0 * max(furthest[len(furthest) // 2], 1e-9)
    if wide:
        ax.set_xscale("function", functions=(root, lambda x: x**2))
    ax.set_xlim(0.0, right * (1.15 if wide else 1.08) or 1.0)
    ax.set_title(titled(key), loc="left", fontsize=11, color=INK)
    ax.set_ylabel(f"{key.removeprefix('reward/')} reward", color=INK)
    ax.set_xlabel(f"KL to SFT (nats a response{', square-root scale' if wide else ''})", color=INK)
    ax.grid(True, lw=0.5, color="#E2E2E2", zorder=-1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.margins(y=0.14)
    ax.tick_params(colors=INK, labelsize=9)


def _mark_findings(panels: dict[str, Axes], found: Findings) -> dict[str, list[Anchor]]:
    """A ring around the best, and in the gold panel an arrow for what was lost to gaming.
    Returns the words to place there."""
    best, key = found.best, found.key
    if key in panels and drawn(best, key):
        panels[key].plot(
            [best[KL].mean],
            [best[key].mean],
            marker="o",
            ms=19,
            mfc="none",
            mec=INK,
            mew=1.3,
            ls="none",
            zorder=6,
            gid="best",
        )
    if GOLD not in panels or found.gamed is None or not found.clear or not drawn(found.gamed, GOLD):
        return {}
    ax, x, low, high = panels[GOLD], found.gamed[KL].mean, found.gamed[GOLD].mean, best[GOLD].mean
    ax.plot(
        [best[KL].mean, x], [high, high], color=ALARM, lw=1.0, ls=(0, (2, 2)), zorder=2, gid="gamed"
    )
    ax.annotate(
        "",
        xy=(x, low),
        xytext=(x, high),
        arrowprops={"arrowstyle": "->", "color": ALARM, "lw": 1.6, "shrinkB": 6},
        zorder=5,
    )
    return {GOLD: [(x, low, f"{low - high:.2g} gold\nwhere proxy is highest", ALARM)]}


def _naming(settings: Sequence[Setting]) -> tuple[bool, bool]:
    """(names beside the marks, names in a list outside); neither: in a corner."""
    few = len(settings) <= LABELLED
    return few and max(len(s.short) for s in settings) <= 12, not few


def _caption(settings: Sequence[Setting]) -> str:
    seeds = max(len(s.runs) for s in settings)
    keys = ", ".join(dict.fromkeys(k for s in settings for k in s.values)) or "kl.coef"
    marks = (
        "small marks: runs; large: means, bars one standard deviation over seeds"
        if seeds > 1
        else "marks: runs; bars: standard error of the evaluation"
    )
    star = "  Star: SFT." if len(starts(settings)) < 2 else ""
    return (
        f"Names: {keys}.  {marks[0].upper()}{marks[1:]}.  Faint: the way through training.{star} "
        " Ring: best."
    )


def styles_of(settings: Sequence[Setting]) -> dict[str, tuple[str, str]]:
    """A colour and a mark for each setting.

    The colours go from dark to light with the coefficient where that is all that varied. Where it
    varied beside something else, each of that has a hue of its own, dark to light, and the same
    mark in every hue is the same coefficient.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    kin = families(settings)
    coefs = sorted({s.values.get(COEF, ABSENT) for s in settings}, key=order)
    if 1 < len(kin) <= len(HUES) and len(coefs) > 1 and len(settings) > len(kin):
        styles = {}
        for (dark, light), family in zip(HUES, kin, strict=False):
            for s in family:
                at = coefs.index(s.values.get(COEF, ABSENT))
                styles[s.label] = (
                    mix(dark, light, at / (len(coefs) - 1)),
                    MARKERS[at % len(MARKERS)],
                )
        return {s.label: styles[s.label] for s in settings}
    ramp = [
        to_hex(colormaps["viridis"](0.85 * i / max(len(settings) - 1, 1)))
        for i in range(len(settings))
    ]
    graded = {key for s in settings for key in s.values} <= {COEF}
    colors = ramp if graded else [OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(settings))]
    return {s.label: (colors[i], MARKERS[i % len(MARKERS)]) for i, s in enumerate(settings)}


def families(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings that differ in the coefficient only, together."""
    found: dict[str, list[Setting]] = {}
    for s in settings:
        found.setdefault(str({k: v for k, v in s.values.items() if k != COEF}), []).append(s)
    return list(found.values())


def titled(key: str) -> str:
    """What a reward is, over its panel."""
    titles = {PROXY: "Proxy: the reward that PPO maximises", GOLD: "Gold: the reward that we want"}
    return titles.get(key, f"Judge {key.removeprefix('reward/')}: not seen by PPO")


def sft_level(settings: Sequence[Setting], key: str) -> float | None:
    """The reward of the SFT policy that all settings began from; None also where they began from
    several."""
    if len(starts(settings)) > 1:
        return None
    return next(
        (s.sft[key].mean for s in settings if key in s.sft and math.isfinite(s.sft[key].mean)), None
    )


def _sft_label(settings: Sequence[Setting], key: str) -> list[Anchor]:
    base = sft_level(settings, key)
    return [] if base is None else [(0.0, base, "SFT", INK)]


def drawn(setting: Setting, key: str) -> bool:
    return math.isfinite(setting[KL].mean) and math.isfinite(setting[key].mean)


def _bar(spread: float) -> float:
    return spread if math.isfinite(spread) else 0.0


def root(x: Any) -> Any:
    import numpy as np

    return np.sqrt(np.maximum(x, 0.0))

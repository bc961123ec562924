"""The large charts of report.html, one panel a figure so that they stack on a phone: frontier,
over-optimisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.frontier import drawn, families_joined, path_of, root, sft_level
from rlhf.compare.figures.place_names import place
from rlhf.compare.figures.svg import GRID, INK, LINE, MARK, MUTED, PAPER
from rlhf.compare.read.curves import KL, evaluations, final, value
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.findings import GOLD, PROXY, Findings
from rlhf.compare.statistics.intervals import interval
from rlhf.compare.statistics.overoptimisation import Fit
from rlhf.compare.statistics.settings import Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Styles = Mapping[str, tuple[str, str]]  # setting -> colour, marker
SIZE = (5.1, 3.7)  # inches; a page shows an inch as 72 to 100 px
# up to so many settings, each with a name up to so long, are named beside their marks
NAMED = (10, 12)


def blank(size: tuple[float, float] = SIZE, fontsize: float = 10.5) -> tuple[Figure, Axes]:
    """An empty panel in the page's manner."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=size, dpi=72, layout="constrained")
    FigureCanvasAgg(fig)
    ax = fig.add_subplot()
    ax.grid(True, lw=0.6, color=GRID, zorder=-1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=MUTED, labelcolor=INK, labelsize=fontsize - 0.5)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=INK, fontsize=fontsize)
    return fig, ax


def frontier(
    settings: Sequence[Setting],
    key: str,
    styles: Styles,
    found: Findings | None,
    *,
    rooted: bool,
    bon: Bon = (),
) -> Figure:
    """Reward against KL: a mark a run, its way through training, and where there are seeds the
    mean with its bootstrap interval."""
    fig, ax = blank()
    shown = [s for s in settings if drawn(s, key)]
    right = 0.0
    for setting in shown:
        color, marker = styles[setting.label]
        for run in setting.runs:
            path = path_of(run, key)
            right = max([right, *(x for x, _ in path)])
            if len(path) > 1:
                ax.plot(
                    *zip(*path, strict=True),
                    color=color,
                    lw=1.1,
                    alpha=0.4,
                    zorder=1,
                    gid=f"{LINE}{run.name}",
                )
        right = max(right, _marks(ax, setting, key, color, marker))
    families_joined(ax, shown, key, styles)
    if bon:
        ax.plot(
            *zip(*((x, y) for _, x, y in bon), strict=True),
            ls="--",
            marker="s",
            ms=4,
            lw=1.0,
            color=MUTED,
            zorder=2,
            gid="path",
        )
    _sft(ax, sft_level(settings, key))
    if rooted:
        ax.set_xscale("function", functions=(root, lambda x: x**2))
        ax.set_xticks(root_ticks(right))
    ax.set_xlim(0.0, right * (1.12 if rooted else 1.06) or 1.0)
    ax.set_xlabel("KL to SFT, nats a response" + (" (square-root scale)" if rooted else ""))
    ax.set_ylabel(f"{key.removeprefix('reward/')} reward")
    ax.margins(y=0.1)
    if found is not None and key == found.key and drawn(found.best, key):
        ring: dict[str, Any] = {
            "marker": "o",
            "ms": 20,
            "mfc": "none",
            "mec": INK,
            "mew": 1.2,
            "ls": "none",
            "zorder": 6,
            "gid": "best",
        }
        ax.plot([found.best[KL].mean], [found.best[key].mean], **ring)
    names = len(shown) <= NAMED[0] and max((len(s.short) for s in shown), default=0) <= NAMED[1]
    fig.canvas.draw()
    ends = ((final(run, KL), final(run, key)) for s in shown if len(s.runs) > 1 for run in s.runs)
    small = [(x, y, "", INK) for x, y in ends if math.isfinite(x + y)]
    # the best has the choice of places
    first = sorted(shown, key=lambda s: found is None or s is not found.best)
    place(
        ax,
        [
            *(
                (s[KL].mean, s[key].mean, s.short if names else "", styles[s.label][0])
                for s in first
            ),
            *small,
        ],
        halo=False,
    )
    return fig


Bon = Sequence[tuple[int, float, float]]  # n, KL, reward


def _marks(ax: Axes, setting: Setting, key: str, color: str, marker: str) -> float:
    """Runs, and over them the mean with its interval. Returns how far right they reach."""
    several = len(setting.runs) > 1
    reach = 0.0
    for run in setting.runs:
        x, y = final(run, KL), final(run, key)
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        reach = max(reach, x)
        if not several:
            bars: dict[str, Any] = {
                "xerr": _known(value(run.summary, f"{KL}_se")),
                "yerr": _known(value(run.summary, f"{key}_se")),
            }
            ax.errorbar([x], [y], **bars, color=color, fmt="none", elinewidth=1.2, zorder=3)
        size: dict[str, Any] = {
            "ms": 5.5 if several else 9.5,
            "alpha": 0.95 if several else 1.0,
            "mew": 0.8,
        }
        ax.plot(
            [x],
            [y],
            marker=marker,
            color=color,
            mec=PAPER,
            ls="none",
            zorder=5,
            gid=f"{MARK}{run.name}",
            **size,
        )
    if several:
        x_int, y_int = (
            interval(
                [final(r, k) for r in setting.runs],
                [value(r.summary, f"{k}_se") for r in setting.runs],
            )
            for k in (KL, key)
        )
        ax.plot(
            [x_int.low, x_int.high],
            [y_int.mean] * 2,
            color=color,
            lw=1.8,
            zorder=4,
            solid_capstyle="round",
        )
        ax.plot(
            [x_int.mean] * 2,
            [y_int.low, y_int.high],
            color=color,
            lw=1.8,
            zorder=4,
            solid_capstyle="round",
        )
        ax.plot(
            [x_int.mean],
            [y_int.mean],
            marker=marker,
            ms=12,
            color=color,
            mec=PAPER,
            mew=1.1,
            ls="none",
            zorder=4,
            gid=f"{MARK}setting-{setting.label}",
        )
    return reach


def gap_along_kl(settings: Sequence[Setting], styles: Styles) -> Figure:
    """Gain in proxy less gain in gold over SFT, along each run's training."""
    fig, ax = blank()
    for setting in settings:
        color, marker = styles[setting.label]
        for run in setting.runs:
            path = gap_path(run)
            if len(path) > 1:
                ax.plot(
                    *zip(*path, strict=True),
                    color=color,
                    lw=1.3,
                    alpha=0.8,
                    zorder=2,
                    gid=f"{LINE}{run.name}",
                )
                ax.plot(
                    *path[-1],
                    marker=marker,
                    ms=6.5,
                    color=color,
                    mec=PAPER,
                    mew=0.8,
                    ls="none",
                    zorder=3,
                )
    ax.axhline(0.0, color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=0)
    ax.set_xlim(left=0.0)
    ax.set_xlabel("KL to SFT, nats a response")
    ax.set_ylabel("proxy gain − gold gain")
    return fig


def gap_path(run: Run) -> list[tuple[float, float]]:
    """(KL, proxy - gold, both as gains over the run's first evaluation)."""
    gold = {e.iteration: e.reward for e in evaluations(run, GOLD)}
    both = [
        (e.kl, e.reward - gold[e.iteration]) for e in evaluations(run, PROXY) if e.iteration in gold
    ]
    return [(kl, y - both[0][1]) for kl, y in both]


def gold_gains(run: Run) -> list[tuple[float, float]]:
    """(KL, gold less the run's first evaluation, which is SFT's), without that first one."""
    path = path_of(run, GOLD)
    return [(kl, y - path[0][1]) for kl, y in path[1:]]


def fitted(points: Sequence[tuple[Setting, Run]], fit: Fit, styles: Styles) -> Figure:
    """Gold's gain over SFT against KL on a square-root scale, and the fitted form through it."""
    fig, ax = blank()
    small: dict[str, Any] = {
        "ms": 4.5,
        "mec": PAPER,
        "mew": 0.5,
        "ls": "none",
        "alpha": 0.85,
        "zorder": 3,
    }
    for setting, run in points:
        color, marker = styles[setting.label]
        ax.plot(
            *zip(*gold_gains(run), strict=True),
            marker=marker,
            color=color,
            gid=f"{LINE}{run.name}",
            **small,
        )
    top = fit.furthest
    line = [top * (i / 80) ** 2 for i in range(81)]
    ax.plot(line, [fit.gain(kl) for kl in line], color=INK, lw=1.8, zorder=2, gid="fit")
    if fit.peak_kl <= top:
        ax.axvline(fit.peak_kl, color=MUTED, lw=0.9, ls=(0, (2, 3)), zorder=1)
        note: dict[str, Any] = {
            "xytext": (5, 6),
            "textcoords": "offset points",
            "color": INK,
            "fontsize": 10,
            "gid": "label",
        }
        ax.annotate(
            f"peak of the fit: {fit.peak_kl:.2g} nats",
            (fit.peak_kl, 0.0),
            xycoords=ax.get_xaxis_transform(),
            **note,
        )
    ax.axhline(0.0, color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=0)
    ax.set_xscale("function", functions=(root, lambda x: x**2))
    ax.set_xticks(root_ticks(top))
    ax.set_xlim(0.0, top * 1.06)
    ax.set_xlabel("KL to SFT, nats a response (square-root scale)")
    ax.set_ylabel("gold gain over SFT")
    return fig


def root_ticks(right: float) -> list[float]:
    """Round KLs, about evenly far apart on a square-root scale."""
    if right <= 0:
        return [0.0]
    step = math.sqrt(right) / 5
    ticks = [0.0]
    for i in range(1, 6):
        raw = (i * step) ** 2
        unit = 10.0 ** math.floor(math.log10(raw))
        tick = min((m * unit for m in (1, 1.5, 2, 3, 4, 5, 6, 8, 10)), key=lambda t: abs(t - raw))
        if tick > ticks[-1] and tick <= right:
            ticks.append(tick)
    return ticks


def logarithmic(set_scale: Callable[[str], None], axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic scale with ticks at 1, 2 and 5, where the values are above 0 and reach over
    a factor of 3."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if min(values) <= 0 or max(values) < 3 * min(values):
        return
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _sft(ax: Axes, base: float | None) -> None:
    if base is not None:
        ax.axhline(base, color=MUTED, lw=0.8, ls=(0, (4, 3)), zorder=0)
        ax.plot(
            [0.0],
            [base],
            marker="*",
            ms=14,
            color=INK,
            mec=PAPER,
            mew=0.8,
            ls="none",
            zorder=5,
            gid=f"{MARK}sft",
            clip_on=False,
        )


def _known(error: float) -> float:
    return error if math.isfinite(error) else 0.0

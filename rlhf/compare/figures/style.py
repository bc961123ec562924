"""The look that the pictures share: a blank picture, the square-root scale, the lines, star and
ring of a frontier, colours and marks of the settings, and the same colours so that they can be told
from a page, white or black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.statistics import ABSENT, Setting, order

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
LIGHT, DARK = "#ffffff", "#14171a"  # the page's backgrounds
APART = 3.0  # contrast of a graphical object to its background (WCAG 2.2, 1.4.11)
COEF = "kl.coef"
Styles = Mapping[str, tuple[str, str]]  # a setting's label -> colour, marker


def canvas(size: tuple[float, float], dpi: float | None = None) -> Figure:
    """A picture without axes, in inches, that no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def square_root(ax: Axes) -> None:
    """A square-root scale for x: KL grows with the square of the distance from SFT."""
    import numpy as np

    def root(x: Any) -> Any:
        return np.sqrt(np.maximum(x, 0.0))

    ax.set_xscale("function", functions=(root, np.square))


def styles_of(settings: Sequence[Setting]) -> Styles:
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
        hues = {s.label: hue for hue, family in zip(HUES, kin, strict=False) for s in family}
        steps = {s.label: coefs.index(s.values.get(COEF, ABSENT)) for s in settings}
        return {
            label: (mix(*hues[label], at / (len(coefs) - 1)), MARKERS[at % len(MARKERS)])
            for label, at in steps.items()
        }
    colors = [OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(settings))]
    if {key for s in settings for key in s.values} <= {COEF}:
        shares = [0.85 * i / max(len(settings) - 1, 1) for i in range(len(settings))]
        colors = [to_hex(colormaps["viridis"](share)) for share in shares]
    return {s.label: (colors[i], MARKERS[i % len(MARKERS)]) for i, s in enumerate(settings)}


def families(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings that differ in the coefficient only, together."""
    kin: dict[str, list[Setting]] = {}
    for s in settings:
        kin.setdefault(str({k: v for k, v in s.values.items() if k != COEF}), []).append(s)
    return list(kin.values())


def draw_lines(ax: Axes, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> None:
    """Join the means of settings that differ in the coefficient only. `lines`: colour, points."""
    for color, points in lines:
        ax.plot(
            *zip(*points, strict=True), color=color, lw=1.8, alpha=0.6, zorder=2, gid="frontier"
        )


def draw_sft(ax: Axes, level: float, *, line: str, edge: str, size: float, gid: str) -> None:
    """A star at KL 0 and a line at its level."""
    ax.axhline(level, color=line, lw=0.8, ls=(0, (4, 3)), zorder=0)
    ax.plot(
        [0.0],
        [level],
        marker="*",
        ms=size,
        color=INK,
        mec=edge,
        mew=0.8,
        ls="none",
        zorder=5,
        gid=gid,
        clip_on=False,
    )


def draw_ring(ax: Axes, at: tuple[float, float], *, size: float = 20, width: float = 1.2) -> None:
    ax.plot(
        *([x] for x in at),
        marker="o",
        ms=size,
        mfc="none",
        mec=INK,
        mew=width,
        ls="none",
        zorder=6,
        gid="best",
    )


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours, 1 to 21."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, background: str, ratio: float = APART) -> str:
    """The colour, mixed with as much black (or white, on a dark background) as the contrast
    needs."""
    end = "#000000" if _luminance(background) > 0.5 else "#ffffff"
    mixes = (mix(colour, end, step / 20) for step in range(21))
    return next((mixed for mixed in mixes if contrast(mixed, background) >= ratio), end)


def themes(colours: Sequence[str]) -> list[tuple[str, str]]:
    """(on white, on dark) for each colour."""
    return [(readable(c, LIGHT), readable(c, DARK)) for c in colours]


def _luminance(colour: str) -> float:
    channels = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def _channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def mix(a: str, b: str, share: float) -> str:
    """`share` of the way from one #rrggbb colour to another."""
    return "#" + "".join(
        f"{round(255 * (x + (y - x) * share)):02x}"
        for x, y in zip(_channels(a), _channels(b), strict=True)
    )

"""The look that the pictures share: a blank picture, colours and marks of the settings, the
square-root scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.palette import mix
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
    kin: dict[str, list[Setting]] = {}
    for s in settings:
        kin.setdefault(str({k: v for k, v in s.values.items() if k != COEF}), []).append(s)
    return list(kin.values())

"""Colours and shapes of the settings, and of everything else in a chart, for white and dark
backgrounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rlhf.compare.read.differing import ABSENT, ALGORITHM
from rlhf.compare.statistics import Setting, order
from rlhf.rundir.read import number

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C6D31")
# dark, light
HUES = (
    ("#1f2f8f", "#3fa7d6"),
    ("#8f1d1d", "#e69f00"),
    ("#0b5d3b", "#8fb339"),
    ("#5b1a7a", "#d77fc0"),
)
# matplotlib's viridis at 0, 1/8, ... 7/8; what follows is too pale for a white page
VIRIDIS = (
    *("#440154", "#472d7b", "#3b528b", "#2c728e"),
    *("#21918c", "#28ae80", "#5ec962", "#addc30"),
)
# a setting's shape as a path around (0, 0), 2 wide
SHAPES = (
    "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0Z",
    "M-.9-.9h1.8v1.8h-1.8Z",
    "M0-1L1 .9H-1Z",
    "M0-1.1L1.1 0L0 1.1L-1.1 0Z",
    "M0 1L1-.9H-1Z",
    "M-.4-1h.8v.6h.6v.8h-.6v.6h-.8v-.6h-.6v-.8h.6Z",
    "M-1-.5L-.5-1L0-.5L.5-1L1-.5L.5 0L1 .5L.5 1L0 .5L-.5 1L-1 .5L-.5 0Z",
    "M0-1.04L1-.32L.62 .86H-.62L-1-.32Z",
    "M0-1.04L.9-.52V.52L0 1.04L-.9 .52V-.52Z",
    "M-.6-1L1 0L-.6 1Z",
)
STAR = "M0-1.1L.26-.36L1.04-.34L.42 .14L.64 .9L0 .44L-.64 .9L-.42 .14L-1.04-.34L-.26-.36Z"
LIGHT, DARK = "#ffffff", "#14171a"  # the page's backgrounds
APART = 3.0  # contrast of a graphical object to its background (WCAG 2.2, 1.4.11)
COEF = "kl.coef"
OTHER = ""  # the setting of what belongs to none
Styles = Mapping[str, tuple[str, str]]  # a setting's label -> colour, shape


def styles_of(settings: Sequence[Setting]) -> Styles:
    """A colour and a shape for each setting.

    The colours go from dark to light with the coefficient, or with another number, where that is
    all that varied. Where a coefficient varied beside something else, each value of that has a hue
    of its own, dark to light, and the same shape in every hue is the same coefficient. Where
    there are several algorithms beside more than that, each has a colour, and each of its settings
    a shape. More settings than shapes are all circles.
    """
    kin = families(settings)
    coefs = sorted({s.values.get(COEF, ABSENT) for s in settings}, key=order)
    if 1 < len(kin) <= len(HUES) and len(coefs) > 1 and len(settings) > len(kin):
        hues = {s.label: hue for hue, family in zip(HUES, kin, strict=False) for s in family}
        steps = {s.label: coefs.index(s.values.get(COEF, ABSENT)) for s in settings}
        return {
            label: (mix(*hues[label], at / (len(coefs) - 1)), SHAPES[at % len(SHAPES)])
            for label, at in steps.items()
        }
    kin = of_algorithms(settings)
    if 1 < len(kin) <= len(OKABE_ITO) and max(map(len, kin)) <= len(SHAPES):
        return {
            s.label: (colour, shape)
            for colour, family in zip(OKABE_ITO, kin, strict=False)
            for shape, s in zip(SHAPES, family, strict=False)
        }
    numbers = swept(settings)
    colours = (
        [viridis(share) for share in shares(numbers)]
        if numbers
        else [OKABE_ITO[i % len(OKABE_ITO)] for i in range(len(settings))]
    )
    many = len(settings) > len(SHAPES)
    shapes = [SHAPES[0 if many else i] for i in range(len(settings))]
    return {s.label: look for s, *look in zip(settings, colours, shapes, strict=True)}  # type: ignore[misc]


def swept(settings: Sequence[Setting]) -> list[float]:
    """The number that each setting has of the only key that varied; empty where several keys
    varied, or one that is no number."""
    if len({key for s in settings for key in s.values}) > 1:
        return []
    numbers = [number(value) for s in settings for value in s.values.values()] or [
        number(s.runs[0].config.get(COEF)) for s in settings
    ]
    known = [x for x in numbers if x is not None and math.isfinite(x)]
    return known if len(known) == len(settings) else []


def shares(numbers: Sequence[float]) -> list[float]:
    """Where each number lies between the lowest (0) and the highest (1): by logarithms where they
    reach over a factor of ten, with 0 a step below the lowest other."""
    above = sorted({x for x in numbers if x > 0})
    if min(numbers, default=-1.0) >= 0 and above and above[-1] >= 10 * above[0]:
        step = math.log(above[-1] / above[0]) / len(above)
        logs = [math.log(x) if x > 0 else math.log(above[0]) - step for x in numbers]
    else:
        logs = list(numbers)
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    return [(x - low) / (high - low) if high > low else 0.0 for x in logs]


def viridis(share: float) -> str:
    """The colour at a share of the way from dark blue to light green."""
    at = share * (len(VIRIDIS) - 1)
    i = min(int(at), len(VIRIDIS) - 2)
    return mix(VIRIDIS[i], VIRIDIS[i + 1], at - i)


def families(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings that differ in the coefficient only, together."""
    kin: dict[str, list[Setting]] = {}
    for s in settings:
        kin.setdefault(str({k: v for k, v in s.values.items() if k != COEF}), []).append(s)
    return list(kin.values())


def of_algorithms(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings of one algorithm, together."""
    kin: dict[str, list[Setting]] = {}
    for s in settings:
        kin.setdefault(str(s.values.get(ALGORITHM)), []).append(s)
    return list(kin.values())


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

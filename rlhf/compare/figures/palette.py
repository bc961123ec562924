"""A colour for each setting that can be told from the page, on white and on black."""

from __future__ import annotations

from collections.abc import Sequence

LIGHT, DARK = "#ffffff", "#14171a"  # the page's backgrounds
APART = 3.0  # contrast of a graphical object to its background (WCAG 2.2, 1.4.11)


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio of two #rrggbb colours, 1 to 21."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def readable(colour: str, background: str, ratio: float = APART) -> str:
    """The colour, mixed with as much black (or white, on a dark background) as the contrast
    needs."""
    end = "#000000" if _luminance(background) > 0.5 else "#ffffff"
    for step in range(21):
        mixed = mix(colour, end, step / 20)
        if contrast(mixed, background) >= ratio:
            return mixed
    return end


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

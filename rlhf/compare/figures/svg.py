"""matplotlib figures as SVG for a web page: themed by CSS variables, with marks that take hover
and focus, small."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#222222", "#666666", "#e2e2e2", "#ffffff"
THEME = {
    **{INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"},
    **{"#000000": "--ink", "#444444": "--ink"},  # matplotlib's own, and the exact frontier
}
# gids of artists that take hover and focus: mark-<key> tells all of it, line-<key> is thin and says
# less
MARK, LINE = "mark-", "line-"
CLASSES = ("label", "path", "best", "fit", "staircase", "tolerance")  # gids that stay, as classes

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_DIGITS = re.compile(r"-?\d+\.\d{3,}")
_FONT = re.compile(r"font: (?:(bold|[1-9]00) )?([\d.]+)px [^;]+")
_FAMILY = re.compile(r"; font-family: [^;]+")


def inline(
    figure: Figure,
    *,
    name: str,
    alt: str,
    marks: Mapping[str, str] | None = None,
    colours: Mapping[str, str] | None = None,
) -> str:
    """The figure as an <svg> element.

    Args:
        name: keeps the ids of several figures on one page apart.
        alt: what the figure shows, for those who do not see it.
        marks: spoken name of each gid that takes hover and focus, by the whole gid.
        colours: hex colour -> CSS variable, beside THEME.
    """
    import matplotlib as mpl

    drawn = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            drawn,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    root = ET.fromstring(drawn.getvalue())
    for parent in list(root.iter()):  # its style sheet would reach the whole page
        parent[:] = [c for c in parent if c.tag not in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")]
    themed = {k.lower(): v for k, v in {**THEME, **(colours or {})}.items()}
    swap = re.compile("|".join(map(re.escape, themed)))
    for element in root.iter():
        _restyle(element, swap, themed)
        _name(element, marks or {})
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "class": "chart",
        "role": "group" if any("tabindex" in element.attrib for element in root.iter()) else "img",
        "aria-label": alt,
        "preserveAspectRatio": "xMidYMid meet",
    }
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG}"', "")


def _restyle(element: ET.Element, swap: re.Pattern[str], themed: Mapping[str, str]) -> None:
    if (link := element.attrib.pop(f"{{{_XLINK}}}href", None)) is not None:
        element.set("href", link)
    for key, value in element.attrib.items():
        if key == "style":
            value = swap.sub(partial(_colour, themed, element.tag == f"{{{_SVG}}}text"), value)
            value = _FONT.sub(
                lambda found: (
                    f"font-size: {found[2]}px" + (f"; font-weight: {found[1]}" if found[1] else "")
                ),
                _FAMILY.sub("", value),
            )
        if key in ("d", "x", "y", "style", "transform", "width", "height"):
            value = _DIGITS.sub(
                lambda found: f"{float(found.group()):.2f}".rstrip("0").rstrip("."), value
            )
        if key == "d":
            value = " ".join(value.split())
        element.set(key, value)
    element.text, element.tail = (
        text if text and text.strip() else None for text in (element.text, element.tail)
    )


def _colour(themed: Mapping[str, str], words: bool, found: re.Match[str]) -> str:
    """Words need more contrast than marks: they are mixed with ink."""
    variable = themed[found.group()]
    return (
        f"color-mix(in srgb, var({variable}) 65%, var(--ink))"
        if words and variable not in THEME.values()
        else f"var({variable})"
    )


def _name(element: ET.Element, marks: Mapping[str, str]) -> None:
    """Marks become focusable and named; the other groups' ids, which repeat from figure to
    figure, go."""
    if element.tag != f"{{{_SVG}}}g" or "id" not in element.attrib:
        return
    name = element.attrib.pop("id")
    if name in CLASSES:
        element.set("class", name)
    if name not in marks:
        return
    kind, key = name.split("-", 1)
    element.attrib |= {
        "class": kind,
        "tabindex": "0",
        "role": "img",
        f"data-{kind}": key,
        "aria-label": marks[name],
    }
    title = ET.Element(f"{{{_SVG}}}title")
    title.text = marks[name]
    element.insert(0, title)

"""The picture of a chart that stands in the page until its script runs, and on paper."""

from __future__ import annotations

import re
from html import escape

from rlhf.compare.figures.drawn.svg import compact
from rlhf.compare.figures.vega import PICTURE, Spec


def still(chart: Spec, key: str) -> str:
    """The chart as an <svg> element. `key` keeps its ids apart from those of the others on a
    page."""
    import vl_convert

    text = compact(str(vl_convert.vegalite_to_svg({**chart, "width": PICTURE})))
    names: dict[str, str] = {}

    def own(match: re.Match[str]) -> str:
        return match[1] + names.setdefault(match[2], f"{key}-{len(names)}")

    text = re.sub(r'( id="|url\(#|href="#)([^")]+)', own, text)
    frame = re.sub(r' width="[^"]*" height="[^"]*"', "", text[: text.index(">")], count=1)
    alt_text = escape(str(chart.get("description", "")), quote=True)
    return f'{frame} role="img" aria-label="{alt_text}"{text[text.index(">") :]}'

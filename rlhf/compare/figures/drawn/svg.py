"""The same drawing in fewer bytes and groups: Vega clips, fades and wraps every line by itself, and
a painter takes a layer as large as the picture for each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

_EMPTY = r'<path class="(?:background|foreground)"(?![^>]* (?:fill|stroke)=)[^>]*/>'
_UNSEEN = r'<line [^>]*stroke-opacity="0"[^>]*(?:/>|></line>)'  # for the pointer
# what Vega writes for its own script, and for readers of a picture that has no text of its own
_UNUSED = r' (?:role|aria-[a-z]+|class|pointer-events)="[^"]*"| style="cursor: pointer;"'
_CLIP = r'<clipPath id="([^"]+)">(.*?)</clipPath>'
_SHAPES = r"(?:<(?:path|line) [^>]*/>)*"
_CLIPPED = rf'<g clip-path="(url\(#[^)]*\))">({_SHAPES})</g>'
_LONG = r"\d+\.\d{2,}(?:e-?\d+)?(?=[ ,)\"MLHVCQSTAZmlhvcqstaz-])"  # of a path, or of a place
_MARK = r'<path transform="([^"]*)" d="([^"]*)"([^>]*)/>'
_LINE = (
    r'<path d="([^"]*)"((?: (?:fill|stroke|stroke-width|stroke-opacity)="[^"]*")+)/>'  # inherited
)
_PLACES = r' (?:d|transform|x|y|x1|y1|x2|y2|width|height)="[^"]*"'


def lighter(svg: str) -> str:
    """Without shapes that are not seen and names for scripts, each clip path once, neighbours with
    the same one in one group, and lines faded by their stroke."""
    frame, tags = _cut(re.sub(f"{_EMPTY}|{_UNSEEN}", "", svg))
    same: dict[str, str] = {}
    names = {name: same.setdefault(shape, name) for name, shape in re.findall(_CLIP, tags)}
    tags = re.sub(_CLIP, lambda m: m[0] if names[m[1]] == m[1] else "", tags)
    tags = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{names.get(m[1], m[1])})", tags)
    tags = re.sub(r"<[^>]+>", lambda m: _faded(re.sub(_UNUSED, "", m[0])), tags)
    tags = tags.replace(' transform="translate(0,0)"', "")
    # groups that say nothing, from the innermost outwards
    inside = rf"<g>((?:{_SHAPES}|{_CLIPPED})*)</g>"
    while (fewer := re.sub(inside, r"\1", tags)) != tags:
        tags = fewer
    return frame + re.sub(f"(?:{_CLIPPED})+", _together, tags)


def compact(svg: str) -> str:
    """`lighter`, with places to a tenth of a pixel, each shape of marks once, and what neighbouring
    lines have in common said once for them."""
    frame, tags = _cut(lighter(svg))
    tags = re.sub(_PLACES, lambda places: re.sub(_LONG, _tenth, places[0]), tags)
    return frame + re.sub(f"(?:{_LINE}){{2,}}", _alike, _marks_once(tags))


def _marks_once(tags: str) -> str:
    """Marks as uses of their shape, where it comes more than once."""
    counts = Counter(shape for _, shape, _ in re.findall(_MARK, tags))
    names = {shape: f"mark{i}" for i, shape in enumerate(s for s, n in counts.items() if n > 1)}

    def use(mark: re.Match[str]) -> str:
        place, shape, rest = mark.groups()
        name = names.get(shape)
        return mark[0] if name is None else f'<use href="#{name}" transform="{place}"{rest}/>'

    shapes = "".join(f'<path id="{name}" d="{shape}"/>' for shape, name in names.items())
    tags = re.sub(_MARK, use, tags)
    return f"><defs>{shapes}</defs>{tags[1:]}" if shapes else tags


def _alike(lines: re.Match[str]) -> str:
    groups = groupby(re.findall(_LINE, lines[0]), key=lambda line: line[1])
    return "".join(_one_look(look, [path for path, _ in each]) for look, each in groups)


def _one_look(look: str, paths: Sequence[str]) -> str:
    if len(paths) == 1:
        return f'<path d="{paths[0]}"{look}/>'
    shapes = "".join(f'<path d="{path}"/>' for path in paths)
    return f"<g{look}>{shapes}</g>"


def _cut(svg: str) -> tuple[str, str]:
    """The <svg> tag, whose text is the alternative text, and what is in it."""
    end = svg.index(">")
    return svg[:end], svg[end:]


def _faded(tag: str) -> str:
    line = tag.startswith(("<path", "<line")) and " stroke=" in tag and " fill=" not in tag
    return tag.replace(' opacity="', ' stroke-opacity="') if line else tag


def _together(clipped: re.Match[str]) -> str:
    groups = groupby(re.findall(_CLIPPED, clipped[0]), key=lambda group: group[0])
    return "".join(
        f'<g clip-path="{clip}">{"".join(shapes for _, shapes in each)}</g>'
        for clip, each in groups
    )


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")

"""report.html: the whole comparison in one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from rlhf.compare.figures import vega
from rlhf.compare.figures.style import swept, themes
from rlhf.compare.page.section import Section, View
from rlhf.compare.statistics import say
from rlhf.compare.text.settings import bare
from rlhf.rundir.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write(path: Path, view: View, sections: Sequence[Section]) -> None:
    """Write the page: a frame, and in it each section's template filled with its values."""
    study = view.study
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shorts = {s.label: s.short for s in study.settings}
    environment.filters |= {
        "say": say,
        "parts": parts,
        "fixed": fixed,
        "bare": bare,
        "called": partial(called, shorts),
    }
    environment.tests["numeric"] = numeric
    swatches = {
        label: swatch(f"--c{i}", shape) for i, (label, (_, shape)) in enumerate(view.styles.items())
    }
    templates = [
        (s, environment.get_template(f"{s.key}.html")) for s in sections if s.values is not None
    ]
    legend = {"swatches": swatches, "folded": view.many, "ramp": ramp(view)}
    text = environment.get_template("report.html").render(
        title=study.directory.name,
        counts=(len(study.runs) - len(study.unfinished), len(study.runs)),
        themes=[
            (f"--c{i}", *pair)
            for i, pair in enumerate(themes([colour for colour, _ in view.styles.values()]))
        ],
        swatches=swatches,
        sections=[
            (s, Markup(part.render(s.values, swatches=swatches, legend=legend)))
            for s, part in templates
        ],
        many=view.many,
        vega=Markup(vega.script()),
        script=Markup((TEMPLATES / "page.js").read_text(encoding="utf-8")),
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
    )
    write_text(path, text)


def ramp(view: View) -> list[tuple[str, str]]:
    """The colour scale of a swept number: (number, colour variable) of some of its values, evenly
    chosen, the ends among them. Empty where something else varied."""
    settings = view.study.settings
    numbers = swept(settings)
    if len(numbers) < 3:
        return []
    order = sorted(range(len(numbers)), key=lambda i: numbers[i])
    step = max((len(order) - 1) // 6, 1)
    some = [*order[:-1:step][:6], order[-1]]
    return [(f"{numbers[i]:.2g}", f"--c{i}") for i in some]


def swatch(colour: str, shape: str) -> Markup:
    """A setting's mark as it stands in the charts."""
    svg = Markup(
        '<svg class="swatch" viewBox="-1.2 -1.2 2.4 2.4" aria-hidden="true"><path d="{}"'
        ' fill="var({})"/></svg>'
    )
    return svg.format(shape, colour)


def called(shorts: Mapping[str, str], text: str) -> Markup:
    """A name in a table's first column; of a setting also the short one, for narrow screens.
    `shorts`: a setting's label -> its short name."""
    label = bare(text)
    mark = text.removeprefix(label)
    if shorts.get(label, label) == label:
        return Markup("{}").format(text)
    return Markup('<span class="full">{}</span><span class="brief">{}</span>{}').format(
        label, shorts[label], mark
    )


def numeric(cells: Sequence[str]) -> bool:
    """Whether a table's column holds numbers: then it is set flush right and sorts by them."""
    some = [cell for cell in cells if cell not in ("", "-", "never")]
    return bool(some) and all(cell.lstrip("+-")[:1].isdigit() for cell in some)


def fixed(value: float, digits: int) -> str:
    """Without the sign of a zero."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def parts(text: str) -> tuple[str, str]:
    """1.57 (1.45 to 1.69) -> the number, the interval"""
    number, _, rest = text.partition(" (")
    return number, rest.removesuffix(")")

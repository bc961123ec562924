"""The searches of a comparison as parts of report.html: what they found in words, a chart,
tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlhf.compare.figures import searches as searchcharts
from rlhf.compare.figures.svg import MUTED
from rlhf.compare.page.charts import Chart, Look, chart_of
from rlhf.compare.page.tooltips import Mark
from rlhf.compare.read.runs import Run
from rlhf.compare.read.searches import Crossing, Search, named
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text.searches import Table, measured, note, sentences, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    said: str
    chart: Chart | None
    tables: list[Table]
    note: str


def search_parts(
    found: Sequence[Search | Crossing], settings: Sequence[Setting], look: Look
) -> list[Part]:
    looks = {run.directory: look.styles[s.label] for s in settings for run in (*s.runs, *s.copies)}

    def style(run: Run | None) -> tuple[str, str]:
        return looks.get(run.directory, (MUTED, "o")) if run is not None else (MUTED, "o")

    return [
        Part(
            name=one.name,
            said=sentences(one),
            chart=_chart(one, style, look),
            tables=tables(one),
            note=note(one),
        )
        for one in found
    ]


def search_marks(found: Sequence[Search | Crossing], told: Mapping[str, Mark]) -> dict[str, Mark]:
    """What the marks of trials and of measured values tell; the samples are those that `told`
    has of their runs."""
    marks: dict[str, Mark] = {}
    for one in found:
        if isinstance(one, Search):
            for t in one.valued:
                lines = [[named(goal), t.shown(goal)] for goal in one.goals] + [["run", t.name]]
                marks[searchcharts.mark_of(one, t.number)] = _mark(t.title, lines, t.run, told)
        else:
            for i, level in enumerate(one.levels):
                lines = [
                    [named(one.objective), measured(level)],
                    ["runs", ", ".join(run.name for run in level.runs) or "-"],
                ]
                only = level.runs[0] if len(level.runs) == 1 else None
                marks[searchcharts.mark_of(one, i)] = _mark(
                    f"{one.setting}={level.x}", lines, only, told
                )
    return marks


def _mark(title: str, lines: list[list[str]], run: Run | None, told: Mapping[str, Mark]) -> Mark:
    return {
        "title": title,
        "lines": lines,
        "sample": told[run.name]["sample"] if run is not None and run.name in told else None,
    }


def _chart(one: Search | Crossing, style: searchcharts.Style, look: Look) -> Chart | None:
    if isinstance(one, Crossing):
        title = f"{named(one.objective)} against {one.setting}"
        band = " The band is the tolerance." if one.tolerance > 0 else ""
        return _of(searchcharts.curve(one, style), title, f"± one standard error.{band}", one, look)
    figure = searchcharts.figure(one, style)
    if figure is None:
        return None
    if len(one.goals) == 1:
        (goal,) = one.goals
        return _of(figure, f"{named(goal)} by trial", "The line is the best so far.", one, look)
    up, across = one.goals
    said = (
        "The line is the Pareto front; pale marks are trials that it beats. Colours as in the"
        " frontier below."
    )
    return _of(figure, f"{named(up)} against {named(across)}", said, one, look)


def _of(figure: Figure, title: str, said: str, one: Search | Crossing, look: Look) -> Chart:
    return chart_of(
        figure,
        title[0].upper() + title[1:],
        f"search-{one.name}",
        look,
        said,
        f"{title}. {sentences(one)}",
    )

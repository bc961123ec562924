"""The searches, in words, charts and tables: a section of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlhf.compare.figures import searches as figures
from rlhf.compare.figures.svg import MUTED
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.read import Crossing, Run, Search, named
from rlhf.compare.text import searches as texts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def search(view: View) -> Section:
    """The section; no part of the page where nothing was searched."""
    study = view.study
    looks = {
        run.directory: view.styles[s.label] for s in study.settings for run in (*s.runs, *s.copies)
    }

    def style(run: Run | None) -> tuple[str, str]:
        return looks.get(run.directory, (MUTED, "o")) if run is not None else (MUTED, "o")

    parts = [
        {
            "name": one.name,
            "sentences": texts.sentences(one),
            "charts": _chart(one, style, view),
            "tables": texts.tables(one),
            "note": texts.note(one),
        }
        for one in study.searches
    ]
    return Section(
        key="search",
        title="Search",
        short="Search",
        markdown=texts.markdown(study.searches),
        values={"parts": parts} if parts else None,
    )


def _chart(one: Search | Crossing, style: figures.Style, view: View) -> list[Chart]:
    if isinstance(one, Crossing):
        figure: Figure | None = figures.curve(one, style)
        title = f"{named(one.objective)} against {one.setting}"
        note = "± one standard error." + (" The band is the tolerance." * (one.tolerance > 0))
    else:
        figure = figures.figure(one, style)
        title = f"{named(next(iter(one.goals)))} by trial"
        note = "The line is the best so far."
        if len(one.goals) == 2:
            title = " against ".join(map(named, one.goals))
            note = (
                "The line is the Pareto front; pale marks are trials that it beats. Colours as in"
                " the frontier below."
            )
    alt = f"{title}. {texts.sentences(one)}"
    return view.chart(figure, title[0].upper() + title[1:], f"search-{one.name}", note, alt)

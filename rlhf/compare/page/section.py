"""The parts that a report consists of, and what each is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.frontier_data import FrontierData, frontiers
from rlhf.compare.figures.style import Styles, styles_of
from rlhf.compare.figures.svg import LINE, MARK, inline
from rlhf.compare.page.tooltips import Mark, marks, spoken
from rlhf.compare.statistics import Study
from rlhf.compare.text.answer import Answer, answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: report.md has `markdown`, report.html templates/<key>.html with
    `values`. "" and None: it has no part there."""

    key: str
    title: str = ""
    short: str = ""  # in the page's list of sections; "" leaves it out of there
    markdown: str = ""
    values: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    note: str
    svg: str


@dataclass(frozen=True, kw_only=True)
class View:
    """A study with its answer, the data of its pictures, and how the page draws them."""

    study: Study
    answer: Answer
    frontiers: Sequence[FrontierData]
    styles: Styles
    tooltips: Mapping[str, Mark]  # by the key of a mark

    @cached_property
    def colours(self) -> dict[str, str]:
        """hex -> CSS variable"""
        return {colour: f"--c{i}" for i, (colour, _) in enumerate(self.styles.values())}

    @cached_property
    def names(self) -> dict[str, str]:
        """The name of each mark, and of each line of a run, by gid."""
        return {f"{MARK}{key}": spoken(mark) for key, mark in self.tooltips.items()} | {
            f"{LINE}{k}": m["title"] for k, m in self.tooltips.items()
        }

    def chart(
        self, figure: Figure | None, title: str, name: str, note: str = "", alt: str = ""
    ) -> list[Chart]:
        """The figure as SVG with its words; none where there is no figure. `name` tells its ids
        from those of the others."""
        if figure is None:
            return []
        alt = alt or f"{title}. {note}"
        svg = inline(figure, name=name, alt=alt, marks=self.names, colours=self.colours)
        return [Chart(title=title, note=note, svg=svg)]


def view_of(study: Study) -> View:
    return View(
        study=study,
        answer=answer(study),
        frontiers=frontiers(study),
        styles=styles_of(study.settings),
        tooltips=marks(study),
    )

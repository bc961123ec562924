"""The parts that a report consists of, and what each is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlhf.compare.figures import vega
from rlhf.compare.figures.frontier_data import FrontierData, frontiers
from rlhf.compare.figures.look import Look, page_look
from rlhf.compare.figures.style import Styles, styles_of
from rlhf.compare.page.marks import marks
from rlhf.compare.page.stills import still
from rlhf.compare.statistics import Study
from rlhf.compare.text.answer import Answer, answer

MANY = 12  # settings from which on the page folds its later sections and its legend


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report: report.md has `markdown`, report.html templates/<key>.html with
    `values`. "" and None: it has no part there."""

    key: str
    title: str = ""
    short: str = ""  # in the page's list of sections; "" leaves it out of there
    markdown: str = ""
    values: Mapping[str, Any] | None = None
    folded: bool = True  # where there are many settings


@dataclass(frozen=True, kw_only=True)
class Chart:
    key: str
    title: str
    note: str
    spec: vega.Spec

    @property
    def small(self) -> bool:
        return self.spec.get("height") == vega.SHORT

    @property
    def json(self) -> str:
        return vega.embedded(self.spec)

    @property
    def svg(self) -> str:
        """For paper, and for where no script runs."""
        return still(self.spec, self.key)


@dataclass(frozen=True, kw_only=True)
class View:
    """A study with its answer, the data of its pictures, and how the page draws them."""

    study: Study
    answer: Answer
    frontiers: Sequence[FrontierData]
    styles: Styles
    tooltips: Mapping[str, vega.Mark]  # by the key of a mark

    @cached_property
    def look(self) -> Look:
        return page_look(self.styles)

    @property
    def many(self) -> bool:
        return len(self.styles) > MANY

    def chart(
        self,
        key: str,
        title: str,
        draw: Callable[[str], vega.Spec | None],
        note: str = "",
        alt: str = "",
    ) -> list[Chart]:
        """The chart that `draw` makes with its alternative text; none where it makes none."""
        spec = draw(alt or f"{title}. {note}")
        key = "".join(c if c.isalnum() else "-" for c in key)
        return [] if spec is None else [Chart(key=key, title=title, note=note, spec=spec)]


def view_of(study: Study) -> View:
    return View(
        study=study,
        answer=answer(study),
        frontiers=frontiers(study),
        styles=styles_of(study.settings),
        tooltips=marks(study),
    )

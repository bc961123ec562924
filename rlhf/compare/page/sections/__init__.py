"""The sections of a report, in the order of the page. A new one is a file beside these, a template
of its name where it has a part in the page, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rlhf.compare.page.section import Section, View
from rlhf.compare.page.sections.answer import answer
from rlhf.compare.page.sections.controllers import controllers
from rlhf.compare.page.sections.differs import differs
from rlhf.compare.page.sections.frontier import frontier
from rlhf.compare.page.sections.health import health
from rlhf.compare.page.sections.matched import matched
from rlhf.compare.page.sections.over import over
from rlhf.compare.page.sections.samples import samples
from rlhf.compare.page.sections.search import search
from rlhf.compare.statistics.study import Study
from rlhf.compare.text import exact, report
from rlhf.compare.text.markdown import plain

# report.md has these first, and then the others
FIRST = ("answer", "search", "frontier", "unfinished", "differs", "exact", "controllers")


def _text(key: str, markdown: Callable[[Study], str]) -> Callable[[View], Section]:
    """A section that only report.md has."""
    return lambda view: Section(key=key, markdown=markdown(view.study))


SECTIONS: tuple[Callable[[View], Section], ...] = (
    answer,
    search,
    frontier,
    _text("unfinished", report.unfinished),
    _text("exact", exact.markdown),
    over,
    matched,
    controllers,
    health,
    differs,
    samples,
)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """report.md"""
    order = sorted(sections, key=lambda s: FIRST.index(s.key) if s.key in FIRST else len(FIRST))
    parts = [f"# {plain(title)}", *(s.markdown for s in order if s.markdown)]
    return ("\n\n".join(parts) + "\n").encode(errors="replace").decode()

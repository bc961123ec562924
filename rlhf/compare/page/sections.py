"""The sections of a report, in the order of the page. A new one is a function here or in a file of
its own, a template of its key where it has a part in the page, and a line in the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlhf.compare.figures import iterations, searches as search_figures
from rlhf.compare.figures.svg import MUTED
from rlhf.compare.page.frontier import frontier, over
from rlhf.compare.page.samples import side_by_side
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.read import Crossing, Run, Search, named, revisions, series, shared, versions
from rlhf.compare.statistics import BUDGETS, RULES, Study
from rlhf.compare.text import report, results, searches
from rlhf.compare.text.settings import differs
from rlhf.compare.text.tables import plain
from rlhf.metrics import VITALS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _answer(view: View) -> Section:
    study, paragraphs = view.study, list(map(plain, view.answer.paragraphs))
    picture = (
        f"![Reward against KL for each setting of {plain(study.directory.name)}](frontier.png)"
    )
    return Section(
        key="answer",
        title="The answer",
        markdown="\n\n".join([*paragraphs, *([picture] if view.frontiers else [])]),
        values={
            "answer": view.answer,
            "total": len(study.runs),
            "unfinished": [(r.name, r.status, r.error or "") for r in study.unfinished],
        },
    )


def _search(view: View) -> Section:
    study = view.study
    looks = {
        run.directory: view.styles[s.label] for s in study.settings for run in (*s.runs, *s.copies)
    }

    def style(run: Run | None) -> tuple[str, str]:
        return looks.get(run.directory, (MUTED, "o")) if run is not None else (MUTED, "o")

    parts = [
        {
            "name": one.name,
            "sentences": searches.sentences(one),
            "charts": _search_chart(one, style, view),
            "tables": searches.tables(one),
            "note": searches.note(one),
        }
        for one in study.searches
    ]
    return Section(
        key="search",
        title="Search",
        short="Search",
        markdown=searches.markdown(study.searches),
        values={"parts": parts} if parts else None,
    )


def _search_chart(one: Search | Crossing, style: search_figures.Style, view: View) -> list[Chart]:
    if isinstance(one, Crossing):
        figure: Figure | None = search_figures.curve(one, style)
        title = f"{named(one.objective)} against {one.setting}"
        note = "± one standard error." + (" The band is the tolerance." * (one.tolerance > 0))
    else:
        figure = search_figures.figure(one, style)
        title = f"{named(next(iter(one.goals)))} by trial"
        note = "The line is the best so far."
        if len(one.goals) == 2:
            title = " against ".join(map(named, one.goals))
            note = (
                "The line is the Pareto front; pale marks are trials that it beats. Colours as in"
                " the frontier below."
            )
    alt = f"{title}. {searches.sentences(one)}"
    return view.chart(figure, title[0].upper() + title[1:], f"search-{one.name}", note, alt)


def _matched(view: View) -> Section:
    findings, tables = view.study.findings, view.study.matched
    return Section(
        key="matched",
        title="At matched KL",
        short="At matched KL",
        markdown=results.matched(view.study),
        values={
            "budgets": BUDGETS,
            # the reward that decides comes first
            "matched": sorted(tables, key=lambda m: findings is None or m.key != findings.key),
            "shortened": any(c.short for m in tables for _, cells in m.rows for c in cells),
        },
    )


def _controllers(view: View) -> Section:
    steering, styles = view.study.steering, view.styles
    charts = [
        *view.chart(
            iterations.coefficient(steering, styles),
            "Coefficient",
            "iterations-Coefficient",
            "A line a run: point at one, or go there with Tab and the arrow keys, to read which.",
        ),
        *view.chart(
            iterations.kl_over_iterations(steering, styles),
            "KL of the rollouts",
            "iterations-KL of the rollouts",
            "A line a run. Dashed: the controllers' targets.",
        ),
    ]
    return Section(
        key="controllers",
        title="Controllers",
        short="Controllers",
        markdown=results.controllers(view.study),
        values={
            "charts": charts,
            "head": results.HELD,
            "lines": results.held(view.study),
        },
    )


def _health(view: View) -> Section:
    study = view.study
    charts = []
    for what in VITALS:
        ends = [
            f"{s.label} ends at {what.transform(points[-1][1]):.3g}"
            for s in study.settings
            if (points := next((p for run in s.runs if (p := series(run, *what.keys))), []))
        ]
        figure = iterations.vital(study.members, what, view.styles)
        alt = f"{what.label} by iteration. {'; '.join(ends)}."
        charts += view.chart(figure, what.label, f"health-{what.label}", alt=alt)
    return Section(
        key="health",
        title="Training health",
        short="Health",
        markdown=results.health(study),
        values={"sick": study.sick, "well": study.well, "rules": RULES, "charts": charts},
    )


def _differs(view: View) -> Section:
    study = view.study
    parts = (report.differences(study), report.origins(study), report.repeat(study))
    return Section(
        key="differs",
        title="What differs",
        short="What differs",
        markdown="\n\n".join(filter(None, parts)),
        values={
            "differs": differs(study.settings),
            "prints": [
                (stage, shared(prints), ", ".join(x[:12] for x in prints))
                for stage, prints in study.fingerprints.items()
            ],
            "revisions": revisions(study.manifests),
            "versions": [(k, ", ".join(seen)) for k, seen in versions(study.manifests).items()],
            "again": report.again(study.directory),
        },
    )


def _samples(view: View) -> Section:
    samples = side_by_side(view.study)
    return Section(
        key="samples",
        title="Samples side by side",
        short="Samples",
        values={"samples": samples, "shaded": any(r.tokens for s in samples for r in s.responses)},
    )


SECTIONS: tuple[Callable[[View], Section], ...] = (
    *(_answer, _search, frontier),
    lambda view: Section(key="unfinished", markdown=report.unfinished(view.study)),
    lambda view: Section(key="exact", markdown=results.exact(view.study)),
    *(over, _matched, _controllers, _health, _differs, _samples),
)
# report.md has these first, and then the others
FIRST = ("answer", "search", "frontier", "unfinished", "differs", "exact", "controllers")


def write_markdown(path: Path, study: Study, sections: Sequence[Section]) -> None:
    order = sorted(sections, key=lambda s: FIRST.index(s.key) if s.key in FIRST else len(FIRST))
    parts = [f"# {plain(study.directory.name)}", *(s.markdown for s in order if s.markdown)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="replace")

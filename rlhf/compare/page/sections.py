"""The sections of a report, in the order of the page. A new one is a function here or in a file of
its own, a template of its key where it has a part in the page, and a line in the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rlhf.compare.figures import iterations, searches as search_figures
from rlhf.compare.figures.vega import Spec
from rlhf.compare.page.frontier import deciding, frontier, over, realigned
from rlhf.compare.page.samples import side_by_side
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.read import (
    Crossing,
    Run,
    Search,
    inexact,
    named,
    revisions,
    series,
    shared,
    versions,
)
from rlhf.compare.statistics import BUDGETS, RULES, Study
from rlhf.compare.text import report, results, searches
from rlhf.compare.text.settings import differs
from rlhf.compare.text.tables import plain
from rlhf.metrics import VITALS, Shown
from rlhf.rundir.files import write_text


def _answer(view: View) -> Section:
    study, (verdict, *rest) = view.study, list(map(plain, view.answer.paragraphs))
    picture = (
        f"![Reward against KL for each setting of {plain(study.directory.name)}](frontier.png)"
    )
    return Section(
        key="answer",
        title="Verdict",
        folded=False,
        markdown="\n\n".join([f"**{verdict}**", *([picture] if view.frontiers else []), *rest]),
        values={
            "answer": view.answer,
            "charts": deciding(view),
            "seeded": any(len(s.runs) > 1 for s in study.settings),
            "starred": len(study.starts) == 1,
            "ringed": any(data.best is not None for data in view.frontiers),
            "total": len(study.runs),
            "unfinished": [(r.name, r.status, r.error or "") for r in study.unfinished],
        },
    )


def _search(view: View) -> Section:
    study = view.study
    labels = {run.directory: s.label for s in study.settings for run in (*s.runs, *s.copies)}

    def label(run: Run | None) -> str:
        return labels.get(run.directory, "") if run is not None else ""

    parts = [
        {
            "name": one.name,
            "sentences": searches.sentences(one),
            "charts": _search_chart(one, label, view),
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


def _search_chart(one: Search | Crossing, label: search_figures.Label, view: View) -> list[Chart]:
    if isinstance(one, Crossing):
        crossing = one
        title = f"{named(one.objective)} against {one.setting}"
        band = " The band is the tolerance." * (one.tolerance > 0)
        note = f"Bars: 95 % confidence intervals.{band}"

        def draw(alt: str) -> Spec | None:
            return search_figures.curve(crossing, label, view.look, view.tooltips, alt)
    else:
        search = one
        title = f"{named(next(iter(one.goals)))} by trial"
        note = "The line is the best so far."
        if len(one.goals) == 2:
            title = " against ".join(map(named, one.goals))
            note = "The line is the Pareto front; pale marks are trials that it beats."

        def draw(alt: str) -> Spec | None:
            return search_figures.chart(search, label, view.look, view.tooltips, alt)

    alt = f"{title}. {searches.sentences(one)}"
    return view.chart(f"search-{one.name}", title[0].upper() + title[1:], draw, note, alt)


def _matched(view: View) -> Section:
    findings, tables = view.study.findings, view.study.matched
    return Section(
        key="matched",
        title="At matched KL",
        short="At matched KL",
        folded=False,
        markdown=results.matched(view.study),
        values={
            "budgets": BUDGETS,
            # the reward that decides comes first
            "matched": sorted(tables, key=lambda m: findings is None or m.key != findings.key),
            "reading": results.READING,
            "standings": results.standings,
            "short": results.SHORT,
            "shortened": any(c.short for m in tables for _, cells in m.rows for c in cells),
        },
    )


def _controllers(view: View) -> Section:
    steering, look = view.study.steering, view.look
    charts = [
        *view.chart(
            "coefficient",
            "KL coefficient",
            lambda alt: iterations.coefficient(steering, look, alt),
            "One line per run.",
        ),
        *view.chart(
            "kl",
            "KL of the training rollouts",
            lambda alt: iterations.kl_over_iterations(steering, look, alt),
            "One line per run. Dashed: the controllers' targets.",
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
            "note": results.STEERED,
            "lines": results.held(view.study),
        },
    )


def _health(view: View) -> Section:
    study = view.study
    charts = [chart for what in VITALS for chart in _vital(view, what)]
    return Section(
        key="health",
        title="Training health",
        short="Health",
        markdown=results.health(study),
        values={"sick": study.sick, "well": study.well, "rules": RULES, "charts": charts},
    )


def _vital(view: View, what: Shown) -> list[Chart]:
    ends = [
        f"{s.label} ends at {what.transform(points[-1][1]):.3g}"
        for s in view.study.settings
        if (points := next((p for run in s.runs if (p := series(run, *what.keys))), []))
    ]
    return view.chart(
        f"health-{what.label}",
        what.label,
        lambda alt: iterations.vital(view.study.ways, what, view.look, alt),
        alt=f"{what.label} by iteration. {'; '.join(ends)}.",
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
            "inexact": inexact(study.manifests),
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
    *(realigned, over, _matched, _controllers, _health, _differs, _samples),
)
# report.md has these first, and then the others
FIRST = (
    "answer",
    "search",
    "frontier",
    "realigned",
    "unfinished",
    "differs",
    "exact",
    "controllers",
)


def write_markdown(path: Path, study: Study, sections: Sequence[Section]) -> None:
    order = sorted(sections, key=lambda s: FIRST.index(s.key) if s.key in FIRST else len(FIRST))
    parts = [f"# {plain(study.directory.name)}", *(s.markdown for s in order if s.markdown)]
    write_text(path, "\n\n".join(parts) + "\n")

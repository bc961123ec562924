"""The sections of a report, in the order of the page. A new one is a function here or in a file of
its own, a template of its key where it has a part in the page, and a line in the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rlhf.compare.figures import iterations
from rlhf.compare.page.frontier import frontier
from rlhf.compare.page.over import over
from rlhf.compare.page.samples import side_by_side
from rlhf.compare.page.search import search
from rlhf.compare.page.section import Section, View
from rlhf.compare.read import revisions, series, shared, versions
from rlhf.compare.statistics import BUDGETS, RULES, Study
from rlhf.compare.text import report, results
from rlhf.compare.text.settings import differs
from rlhf.compare.text.tables import plain
from rlhf.metrics import VITALS


def _answer(view: View) -> Section:
    study, paragraphs = view.study, list(map(plain, view.answer.paragraphs))
    name = plain(study.directory.name)
    picture = f"![Reward against KL for each setting of {name}](frontier.png)"
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
    coefficient = view.chart(
        iterations.coefficient(steering, styles),
        "Coefficient",
        "iterations-Coefficient",
        "A line a run: point at one, or go there with Tab and the arrow keys, to read which.",
    )
    kl = view.chart(
        iterations.kl_over_iterations(steering, styles),
        "KL of the rollouts",
        "iterations-KL of the rollouts",
        "A line a run. Dashed: the controllers' targets.",
    )
    return Section(
        key="controllers",
        title="Controllers",
        short="Controllers",
        markdown=results.controllers(view.study),
        values={
            "charts": [*coefficient, *kl],
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
    *(_answer, search, frontier),
    lambda view: Section(key="unfinished", markdown=report.unfinished(view.study)),
    lambda view: Section(key="exact", markdown=results.exact(view.study)),
    *(over, _matched, _controllers, _health, _differs, _samples),
)
# report.md has these first, and then the others
FIRST = ("answer", "search", "frontier", "unfinished", "differs", "exact", "controllers")


def write_markdown(path: Path, study: Study, sections: Sequence[Section]) -> None:
    """Write report.md."""
    order = sorted(sections, key=lambda s: FIRST.index(s.key) if s.key in FIRST else len(FIRST))
    parts = [f"# {plain(study.directory.name)}", *(s.markdown for s in order if s.markdown)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8", errors="replace")

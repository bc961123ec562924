"""Reward against KL, and the settings at the end of training: a section of the report."""

from __future__ import annotations

from rlhf.compare.figures import exact as exact_figure, page_charts
from rlhf.compare.figures.frontier_data import FrontierData
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.statistics import show
from rlhf.compare.text import settings as texts

EXACT = (5.4, 4.4)  # inches


def frontier(view: View) -> Section:
    settings = view.study.settings
    return Section(
        key="frontier",
        title="Frontier: reward against KL",
        short="Frontier",
        markdown=texts.markdown(view.study),
        values={
            "charts": [_pair(view, data) for data in view.frontiers],
            "exact": _exact(view),
            "seeded": any(len(s.runs) > 1 for s in settings),
            "starred": len(view.study.starts) == 1,
            "settings": texts.table(view.study),
            "reading": texts.reading(settings) if settings else "",
        },
    )


def _pair(view: View, data: FrontierData) -> list[Chart]:
    """Against KL, and against its square root."""
    alt = f"{data.title}, against KL. " + "; ".join(
        f"{mark.label}: {show(mark.y)} at {show(mark.x)} nats" for mark in data.drawn
    )
    note = "Dashed: best of n of SFT." if data.best_of_n else ""
    return [
        chart
        for rooted in (False, True)
        for chart in view.chart(
            page_charts.frontier(data, rooted=rooted),
            data.title,
            f"frontier-{data.key}-{rooted}",
            note,
            alt,
        )
    ]


def _exact(view: View) -> list[Chart]:
    exact = view.study.exact
    known = exact.rows and exact.curves
    alt = "Exact reward against exact KL. " + "; ".join(
        f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in exact.rows
    )
    return view.chart(
        exact_figure.figure(exact, EXACT) if known else None,
        "Beside the exact frontier",
        "exact",
        "Every response is listed, so nothing here is sampled.",
        alt,
    )

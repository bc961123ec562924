"""Reward against KL, and the settings at the end of training."""

from __future__ import annotations

from rlhf.compare.figures import exact as exact_figure, page_charts
from rlhf.compare.figures.frontier_data import FrontierData
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.statistics.estimates import show
from rlhf.compare.text import settings as settings_text

EXACT = (5.4, 4.4)  # inches


def frontier(view: View) -> Section:
    settings = view.study.settings
    return Section(
        key="frontier",
        title="Frontier: reward against KL",
        short="Frontier",
        markdown=settings_text.markdown(view.study),
        values={
            "charts": [_pair(view, data) for data in view.frontiers],
            "exact": _exact(view),
            "seeded": any(len(s.runs) > 1 for s in settings),
            "starred": len(view.study.starts) == 1,
            "settings": settings_text.table(view.study),
            "reading": settings_text.reading(settings) if settings else "",
        },
    )


def _pair(view: View, data: FrontierData) -> list[Chart]:
    """Against KL, and against its square root."""
    alt = f"{data.title}, against KL. " + "; ".join(
        f"{mark.label}: {show(mark.y)} at {show(mark.x)} nats" for mark in data.drawn
    )
    note = "Dashed: best of n of SFT." if data.best_of_n else ""
    return [
        view.chart(
            page_charts.frontier(data, rooted=rooted),
            data.title,
            f"frontier-{data.key}-{rooted}",
            note,
            alt,
        )
        for rooted in (False, True)
    ]


def _exact(view: View) -> Chart | None:
    exact = view.study.exact
    if not exact.rows or not exact.curves:
        return None
    alt = "Exact reward against exact KL. " + "; ".join(
        f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in exact.rows
    )
    figure = exact_figure.figure(exact, EXACT)
    note = "Every response is listed, so nothing here is sampled."
    return view.chart(figure, "Beside the exact frontier", "exact", note, alt)

"""The known sicknesses, and the signs of health by iteration."""

from __future__ import annotations

from rlhf.compare.figures.iterations import vital
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.read.curves import series
from rlhf.compare.statistics.health import RULES
from rlhf.compare.text import health as health_text
from rlhf.metrics import VITALS, Shown


def health(view: View) -> Section:
    charts = (_chart(view, what) for what in VITALS)
    return Section(
        key="health",
        title="Training health",
        short="Health",
        markdown=health_text.markdown(view.study),
        values={
            "sick": view.study.sick,
            "well": view.study.well,
            "rules": RULES,
            "charts": [chart for chart in charts if chart is not None],
        },
    )


def _chart(view: View, what: Shown) -> Chart | None:
    figure = vital(view.study.members, what, view.styles)
    if figure is None:
        return None
    ends = [
        f"{s.label} ends at {what.transform(points[-1][1]):.3g}"
        for s in view.study.settings
        if (points := next((p for run in s.runs if (p := series(run, *what.keys))), []))
    ]
    alt = f"{what.label} by iteration. {'; '.join(ends)}."
    return view.chart(figure, what.label, f"health-{what.label}", alt=alt)

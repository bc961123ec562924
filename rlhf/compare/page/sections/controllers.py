"""How the coefficient moved, and the KL with it."""

from __future__ import annotations

from rlhf.compare.figures import iterations
from rlhf.compare.page.section import Section, View
from rlhf.compare.text import controllers as controllers_text


def controllers(view: View) -> Section:
    steering, styles = view.study.steering, view.styles
    charts = (
        (
            "Coefficient",
            iterations.coefficient(steering, styles),
            "A line a run: point at one, or go there with Tab and the arrow keys, to read which.",
        ),
        (
            "KL of the rollouts",
            iterations.kl_over_iterations(steering, styles),
            "A line a run. Dashed: the controllers' targets.",
        ),
    )
    return Section(
        key="controllers",
        title="Controllers",
        short="Controllers",
        markdown=controllers_text.markdown(view.study),
        values={
            "charts": [
                view.chart(figure, title, f"iterations-{title}", note)
                for title, figure, note in charts
                if figure is not None
            ],
            "head": controllers_text.HELD,
            "lines": controllers_text.held(view.study),
        },
    )

"""The metrics of a win rate: there where evaluation.win_rate asks for one."""

from __future__ import annotations

from rlhf.metrics.metric import Better, Metric

WIN_RATE = "win_rate"
EQUAL_LENGTH = f"{WIN_RATE}/length_controlled"
_PARTS: tuple[tuple[str, str, str, Better], ...] = (
    ("length_controlled", "Win rate at equal length", "", "more"),
    ("length_effect", "Log-odds of a win by far more length", "nats", None),
    ("ties", "Share of ties", "", None),
    ("position_bias", "Share of verdicts that change with the order", "", "less"),
    ("first_place", "Mean preference for the answer shown first", "", None),
    ("unanswered", "Share of questions without a verdict", "", "less"),
)
WIN_RATES = (
    Metric(
        name=WIN_RATE,
        title="Win rate over the baseline, ties a half",
        better="more",
        label="win rate",
        form=".3f",
    ),
    *(
        Metric(name=f"{WIN_RATE}/{name}", title=title, unit=unit, better=better)
        for name, title, unit, better in _PARTS
    ),
)

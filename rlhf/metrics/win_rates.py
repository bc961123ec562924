"""The metrics of a win rate: there where evaluation.win_rate asks for one."""

from __future__ import annotations

from collections.abc import Iterable

from rlhf.metrics.metric import SHARE, Better, Metric

WIN_RATE = "win_rate"
EQUAL_LENGTH = f"{WIN_RATE}/length_controlled"
_PARTS: tuple[tuple[str, str, str, Better], ...] = (
    ("length_controlled", "Win rate at equal length", SHARE, "more"),
    ("length_effect", "Log-odds of a win by far more length", "nats", None),
    ("ties", "Share of ties", SHARE, None),
    ("position_bias", "Share of verdicts that change with the order", SHARE, "less"),
    ("first_place", "Mean preference for the answer shown first", SHARE, None),
    ("unanswered", "Share of questions without a verdict", SHARE, "less"),
)
OF_MEMBER = f"{WIN_RATE}/of/"  # and a member's name: its own, of a pool's evaluation
WIN_RATES = (
    Metric(
        name=WIN_RATE,
        title="Win rate over the baseline, ties a half",
        unit=SHARE,
        better="more",
        label="win rate",
        form=".3f",
    ),
    *(
        Metric(name=f"{WIN_RATE}/{name}", title=title, unit=unit, better=better)
        for name, title, unit, better in _PARTS
    ),
)


def of_members(keys: Iterable[str]) -> list[str]:
    """The keys that are a plain win rate of a pool's member: `win_rate/of/judge`."""
    own = (key for key in keys if key.startswith(OF_MEMBER))
    return [key for key in own if "/" not in key[len(OF_MEMBER) :] and not key.endswith("_se")]

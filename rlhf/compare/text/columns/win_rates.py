"""Win rates in the table of settings: columns that are there where runs have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rlhf.compare.statistics import Setting, brief, setting_interval
from rlhf.metrics.win_rates import EQUAL_LENGTH, OF_MEMBER, WIN_RATE, of_members

# summary key -> its column
COLUMNS: Mapping[str, str] = {WIN_RATE: "win rate", EQUAL_LENGTH: "at equal length"}
BASELINES = {"sft": "SFT's", "reference": "the data's own"}


def known(settings: Sequence[Setting]) -> list[str]:
    """The keys of win rates that a run of the settings has recorded, a pool's before those of its
    members."""
    members = dict.fromkeys(key for s in settings for key in of_members(s.estimates))
    return [
        key for key in (*COLUMNS, *members) if any(math.isfinite(s[key].mean) for s in settings)
    ]


def column(key: str) -> str:
    """`win rate`, of a member `by judge`."""
    return COLUMNS.get(key) or f"by {key.removeprefix(OF_MEMBER)}"


def cells(setting: Setting, keys: Sequence[str]) -> list[str]:
    """Each with half of its 95 % interval; empty where the setting's runs have none."""
    shown = (setting_interval(setting, key) for key in keys)
    return [brief(interval) if interval.n else "" for interval in shown]


def reading(settings: Sequence[Setting]) -> str:
    """Says what the columns are, and whose verdicts; empty where there are none."""
    if not known(settings):
        return ""
    runs = [run for s in settings for run in s.runs if math.isfinite(_mean(run.summary))]
    whose = sorted({str(run.config.get("annotator", "gold")) for run in runs})
    baselines = sorted({str(run.config.get("evaluation.win_rate")) for run in runs})
    answers = " or ".join(BASELINES.get(name, name) for name in baselines)
    return (
        f" Win rate: the mean preference of {' or '.join(f'annotator={name}' for name in whose)}"
        f" for the policy's answers over {answers}, ties a half; at equal length: what it would be"
        " if both were as long (AlpacaEval 2, without its difficulty of instructions)."
    )


def _mean(summary: Mapping[str, object]) -> float:
    value = summary.get(WIN_RATE)
    return float(value) if isinstance(value, (int, float)) else math.nan

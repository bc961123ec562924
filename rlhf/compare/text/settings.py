"""The table of settings at the end of training, and how to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlhf.compare.read import series
from rlhf.compare.statistics import NOTHING, Setting, Study, gap, show
from rlhf.compare.text.tables import grid
from rlhf.metrics import ENDED, GOLD, KL, LENGTH, SCORE

SAME = 1e-6  # of a score and a reward that are one
Table = tuple[list[str], list[list[str]]]


def table(study: Study) -> Table:
    """Head and lines of the comparison, the SFT policy first."""
    rewards, over_sft = study.rewards, GOLD in study.rewards
    names = [key.removeprefix("reward/") for key in rewards]
    scored = _scored(study.settings, rewards)
    shown = (KL, *[SCORE] * scored, *rewards)
    head = ["setting", "runs", "KL (nats)", *["PPO's score"] * scored, *names]
    head += ["over SFT (se)"] * over_sft
    groups = [those for group in study.starts if (those := [s for s in group if s.sft])]
    lines = [
        [
            _start(those, alone=len(groups) == 1),
            *("", "0"),
            *[_start_score(those)] * scored,
            *(show(those[0].sft[k]) if k in those[0].sft else "-" for k in rewards),
            *[""] * over_sft,
            "",
            _known(100 * _start_number(those, ENDED), ".0f", " %", ""),
        ]
        for those in groups
    ]
    best = study.findings.praised if study.findings is not None else None
    lines += [
        [
            s.label + (" (best)" if s is best else ""),
            _count(s, rewards),
            *(show(s[key]) for key in shown),
            *[_known(gap(s[GOLD], s.sft.get(GOLD, NOTHING)), "+.1f")] * over_sft,
            _known(s[LENGTH].mean, ".3g"),
            _known(100 * s[ENDED].mean, ".0f", " %"),
        ]
        for s in study.settings
    ]
    return [*head, "length", "ended"], lines


def _scored(settings: Sequence[Setting], rewards: Sequence[str]) -> bool:
    """Whether what PPO maximised is none of the rewards: a rule for responses that never end, or a
    scorer of one's own."""
    return any(
        math.isfinite(s[SCORE].mean)
        and all(abs(s[SCORE].mean - s[key].mean) > SAME for key in rewards)
        for s in settings
    )


def _start_number(group: Sequence[Setting], key: str) -> float:
    """A number of the SFT policy's evaluation, nan where no run recorded it."""
    firsts = (
        points[0][1] for s in group for run in s.runs if (points := series(run, f"eval/{key}"))
    )
    return next(firsts, math.nan)


def _start_score(group: Sequence[Setting]) -> str:
    return _known(_start_number(group, SCORE), ".4g")


def markdown(study: Study) -> str:
    if not study.settings:
        return ""
    return (
        f"## Settings\n\n{grid(*table(study))}\n\n{reading(study.settings)}"
        " Every run's numbers are in [runs.csv](runs.csv)."
    )


def reading(settings: Sequence[Setting]) -> str:
    """Says how the table's numbers are to be read."""
    seeds = max(len(s.runs) for s in settings)
    noise = (
        "± is the standard error of the mean over seeds, and never less than the evaluation's own"
        " noise."
        if seeds > 1
        else "Each setting has one run, so ± is the standard error of its evaluation and says"
        " nothing of other seeds."
    )
    units = "KL is to the SFT policy, in nats a response. Rewards are on held-out prompts."
    copies = sum(len(s.copies) for s in settings)
    if not copies:
        return f"{noise} {units}"
    left = (
        f"{copies} run{'s repeat' if copies > 1 else ' repeats'} a seed of its setting and"
        f" {'are' if copies > 1 else 'is'} left out here"
    )
    return f"{noise} {units} {left}: of each seed the run that finished last counts."


def differs(settings: Sequence[Setting]) -> Table:
    """A row a setting, a column for each key that differs, and the seeds."""
    keys = list(dict.fromkeys(key for s in settings for key in s.values))
    lines = [
        [
            s.label,
            *(str(s.values.get(key, "")) for key in keys),
            ", ".join(str(run.config.get("seed", "?")) for run in s.runs),
        ]
        for s in settings
    ]
    return ["setting", *keys, "seeds"], lines


def _start(group: Sequence[Setting], *, alone: bool) -> str:
    """The name of the SFT policy that these settings began from."""
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return "SFT" if alone else f"SFT of {group[0].label}{more}"


def _count(setting: Setting, rewards: Sequence[str]) -> str:
    lost = max((setting[key].lost for key in rewards), default=0)
    return f"{len(setting.runs)}" + (f" ({lost} without a finite reward)" if lost else "")


def _known(value: float, form: str, unit: str = "", nothing: str = "-") -> str:
    return nothing if math.isnan(value) else format(value, form) + unit

"""The table of settings at the end of training, and how to read it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rlhf.compare.read import named, series
from rlhf.compare.statistics import (
    ABSENT,
    LIKE,
    THESE,
    Interval,
    Setting,
    Study,
    brief,
    evaluated,
    gain,
    setting_interval,
    sft_interval,
    single,
)
from rlhf.compare.statistics.settings import show_value
from rlhf.compare.text import costs
from rlhf.compare.text.columns import win_rates
from rlhf.compare.text.tables import grid
from rlhf.metrics import ENDED, GOLD, KL, LENGTH, SCORE

SAME = 1e-6  # of a score and a reward that are one
Table = tuple[list[str], list[list[str]]]
BEST, HIGHEST = " (best)", " (highest)"  # after the leader's label: told apart from all, or not


def table(study: Study) -> Table:
    """Head and lines of the comparison, the SFT policy first."""
    rewards, over_sft = study.rewards, GOLD in study.rewards
    scored, paid = _scored(study.settings, rewards), costs.known(study.settings)
    won = win_rates.known(study.settings)
    shown = (KL, *[SCORE] * scored, *rewards)
    head = ["setting", "runs", "KL (nats)", *["score"] * scored, *map(named, rewards)]
    head += ["gold over SFT"] * over_sft + [win_rates.column(key) for key in won]
    groups = [those for group in study.starts if (those := [s for s in group if s.sft])]
    lines = [
        [
            _start(those, alone=len(groups) == 1),
            *("", "0"),
            *[_start_score(those)] * scored,
            *(brief(sft_interval(those[0], k)) if k in those[0].sft else "-" for k in rewards),
            *[""] * (over_sft + len(won)),
            "",
            _known(100 * _start_number(those, ENDED), ".0f", " %", ""),
            *[""] * len(paid),
        ]
        for those in groups
    ]
    verdict, findings = study.verdict, study.findings
    best = findings.praised if findings is not None else None
    mark = BEST if verdict is not None and verdict.claim == "best" else HIGHEST
    mark = mark if len(study.settings) > 1 else ""
    lines += [
        [
            s.label + (mark if s is best else ""),
            _count(s, rewards),
            *(brief(setting_interval(s, key)) for key in shown),
            *[brief(gain(s, GOLD))] * over_sft,
            *win_rates.cells(s, won),
            _known(s[LENGTH].mean, ".3g"),
            _known(100 * s[ENDED].mean, ".0f", " %"),
            *(costs.shown(key, s[key].mean) for key in paid),
        ]
        for s in study.settings
    ]
    return [*head, "length", "with EOS", *(costs.COLUMNS[key] for key in paid)], lines


def algorithms(study: Study) -> str:
    """What the name of each algorithm stands for, where there are several."""
    own = {
        name: ", ".join(f"{key}={show_value(v)}" for key, v in keys.items() if v != ABSENT)
        for name, keys in study.brought.items()
    }
    lines = [f"- `{name}`: {those}" for name, those in own.items() if those]
    head = ["", "", "An algorithm's name stands for what all of its runs here have:", ""]
    return "\n".join([*head, *lines]) if lines else ""


def bare(label: str) -> str:
    """The label without the mark of the leader."""
    return label.removesuffix(BEST).removesuffix(HIGHEST)


def _scored(settings: Sequence[Setting], rewards: Sequence[str]) -> bool:
    """Whether what was maximised is none of the rewards: a rule for responses that never end, or a
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
    mean, se = (_start_number(group, key) for key in (SCORE, f"{SCORE}_se"))
    return brief(evaluated(single(mean, se)))


def markdown(study: Study) -> str:
    if not study.settings:
        return ""
    return (
        f"## Settings\n\n{grid(*table(study))}\n\n{reading(study.settings)}"
        f"{win_rates.reading(study.settings)}{costs.reading(study)}"
        f" Every run's numbers are in [runs.csv](runs.csv).{algorithms(study)}"
    )


def reading(settings: Sequence[Setting]) -> str:
    """Says how the table's numbers are to be read."""
    seeds = max(len(s.runs) for s in settings)
    where = "prompts like these" if all(_kept(s) for s in settings) else "these prompts"
    noise = f"± is half of the 95 % confidence interval for {where}: " + (
        "over seeds, or of the evaluation alone where there is one run."
        if seeds > 1
        else "of the evaluation alone, since each setting has one run; other seeds may differ by"
        " more."
    )
    those = {i.prompts for s in settings if (i := gain(s, GOLD)).n}
    noise += "".join(f" Gold over SFT is for {prompts}." for prompts in those if len(those) == 1)
    units = (
        "All numbers are of the evaluation on held-out prompts at the end of training. KL is to"
        " SFT, in nats per response."
    )
    copies = sum(len(s.copies) for s in settings)
    if not copies:
        return f"{noise} {units}"
    left = (
        f"{copies} run{'s repeat' if copies > 1 else ' repeats'} a seed of its setting and"
        f" {'are' if copies > 1 else 'is'} left out here"
    )
    return f"{noise} {units} {left}: of each seed the run that finished last counts."


def interval_rows(study: Study) -> list[dict[str, Any]]:
    """The lines of settings.csv: a setting's number at the end of training with its 95 % interval,
    at these prompts and, where its runs kept values by prompt, at prompts like these; and its
    rewards over SFT at these prompts."""
    lines = []
    for s in study.settings:
        for key in (KL, *study.rewards):
            these, like = (setting_interval(s, key, prompts) for prompts in (THESE, LIKE))
            lines += [_row(s, key, these)] if these.n else []
            lines += [_row(s, key, like)] if like.prompts == LIKE else []
        lines += [_row(s, f"{key} over SFT", i) for key in s.sft if (i := gain(s, key)).n]
    return lines


def margin_rows(study: Study) -> list[dict[str, Any]]:
    """The lines of differences.csv: the leader's reward less that of every other, with 95 %
    intervals that hold for all of them at once."""
    verdict = study.verdict
    if verdict is None:
        return []
    return [
        _row(verdict.leader, verdict.key, i, less=margin.setting.label)
        for margin in verdict.margins
        for i in dict.fromkeys((margin.difference, margin.like))
        if i is not None
    ]


def _row(setting: Setting, number: str, i: Interval, **more: str) -> dict[str, Any]:
    bounds = {"mean": i.mean, "low": i.low, "high": i.high}
    shown = {name: "" if math.isnan(x) else x for name, x in bounds.items()}
    return {
        **{"setting": setting.label, **more, "number": number, "prompts": i.prompts},
        **{**shown, "runs": i.n, "interval_of": i.source},
    }


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


def _kept(setting: Setting) -> bool:
    return all(run.by_prompt for run in setting.runs)


def _count(setting: Setting, rewards: Sequence[str]) -> str:
    lost = max((setting[key].lost for key in rewards), default=0)
    return f"{len(setting.runs)}" + (f" ({lost} without a finite reward)" if lost else "")


def _known(value: float, form: str, unit: str = "", nothing: str = "-") -> str:
    return nothing if math.isnan(value) else format(value, form) + unit

"""The words of a chart's marks: shown to those who point at one, tap it or go there by keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlhf.compare.figures.frontier_data import path_key, realigned_key
from rlhf.compare.figures.searches import mark_of
from rlhf.compare.figures.vega import Mark
from rlhf.compare.page.samples import first_of, samples
from rlhf.compare.read import Crossing, Run, Search, named, value
from rlhf.compare.statistics import (
    Setting,
    Study,
    brief,
    label_of,
    run_interval,
    say,
    setting_interval,
    sft_interval,
)
from rlhf.compare.text import costs, realigned
from rlhf.compare.text.searches import measured, shown
from rlhf.metrics import FINAL_COEF, KL, LENGTH, SECONDS
from rlhf.rundir.read import number
from rlhf.rundir.words import duration

PROMPT = 200  # characters


def marks(study: Study) -> dict[str, Mark]:
    """By key: a run's name, `setting-<label>` for the mean of several runs, `sft`; a KL path, a
    lambda of a realigned run; a trial of a search, or a value that it measured."""
    keys = (KL, *study.rewards)
    tips: dict[str, Mark] = {}
    for s in study.settings:
        tips |= {run.name: _run(s, run, keys) for run in s.runs}
        if len(s.runs) > 1:
            tips[f"setting-{s.label}"] = _mean(s, keys)
    sft = next((s for s in study.settings if s.sft), None)
    if sft is not None and len(study.starts) == 1:
        lines = [
            [_name(key), brief(sft_interval(sft, key))] for key in study.rewards if key in sft.sft
        ]
        sample = _sample(first_of(sft.runs, at_start=True))
        tips["sft"] = _mark("SFT, where all runs begin", [["KL", "0"], *lines], sample)
    tips |= {path_key(way): _mark(*_path(way)) for way in study.paths}
    for setting, curve in study.realigned:
        for stop in curve.stops:
            said = realigned.tips(curve, label_of(setting, curve.run), stop.share)
            tips[f"{realigned_key(curve)} {stop.share:g}"] = _mark(*said)
    for search in study.searches:
        tips |= _trials(search, tips) if isinstance(search, Search) else _levels(search, tips)
    return tips


def _trials(search: Search, tips: Mapping[str, Mark]) -> dict[str, Mark]:
    return {
        mark_of(search, t.number): _mark(
            t.title,
            [*([named(goal), shown(t, goal)] for goal in search.goals), ["run", t.name]],
            _sample_of(t.run, tips),
        )
        for t in search.valued
    }


def _levels(search: Crossing, tips: Mapping[str, Mark]) -> dict[str, Mark]:
    return {
        mark_of(search, i): _mark(
            f"{search.setting}={level.x}",
            [
                [named(search.objective), measured(level)],
                ["runs", ", ".join(run.name for run in level.runs) or "-"],
            ],
            _sample_of(level.runs[0] if len(level.runs) == 1 else None, tips),
        )
        for i, level in enumerate(search.levels)
    }


def _sample_of(run: Run | None, tips: Mapping[str, Mark]) -> Any:
    return tips[run.name]["sample"] if run is not None and run.name in tips else None


def _mark(title: str, lines: list[list[str]], sample: dict[str, str] | None = None) -> Mark:
    return {"title": title, "lines": lines, "sample": sample}


def _run(setting: Setting, run: Run, keys: Sequence[str]) -> Mark:
    coef, seconds = (number(run.summary.get(key)) for key in (FINAL_COEF, SECONDS))
    lines = [
        [_name(key), brief(run_interval(run, key))]
        for key in keys
        if number(run.summary.get(key)) is not None
    ]
    lines += [["coefficient at the end", f"{coef:.3g}"]] if coef is not None else []
    lines += [["length", f"{value(run.summary, LENGTH):.3g} tokens"]]
    lines += costs.lines(run.summary)
    lines += [["time", duration(seconds)]] if seconds is not None else []
    return _mark(label_of(setting, run), lines, _sample(samples(run)))


def _path(way: Sequence[Run]) -> tuple[str, list[list[str]]]:
    """What the line of a KL path says."""
    seed = way[-1].config.get("seed")
    title = f"KL path, {len(way)} points" + (f", seed {seed}" if seed is not None else "")
    return title, costs.lines(way[-1].summary)


def _mean(setting: Setting, keys: Sequence[str]) -> Mark:
    lines = [[_name(key), say(setting_interval(setting, key))] for key in keys if setting[key].n]
    return _mark(f"{setting.label}: mean of {len(setting.runs)} seeds (95 % interval)", lines)


def _name(key: str) -> str:
    return "KL, nats" if key == KL else named(key)


def _sample(rows: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The first of the rows, shortened."""
    if not rows:
        return None
    response = _cut(rows[0].get("response", ""), 2 * PROMPT)
    return {"prompt": _cut(rows[0]["prompt"], PROMPT), "response": response}


def _cut(text: Any, most: int) -> str:
    return text if len(text := str(text)) <= most else f"{text[:most]} …"

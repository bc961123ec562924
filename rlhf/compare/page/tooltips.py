"""What a mark of a chart tells when it is pointed at, focused or tapped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.compare.page.samples import samples
from rlhf.compare.read.curves import KL, final, value
from rlhf.compare.read.provenance import starts
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.estimates import Estimate
from rlhf.compare.statistics.findings import show
from rlhf.compare.statistics.intervals import say
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text.answer import duration, setting_interval
from rlhf.rundir.read import number

PROMPT = 200  # characters
Mark = dict[str, Any]  # title, lines: [[name, value]], sample: {prompt, response} or None

# matplotlib's markers as shapes around (0, 0), 10 wide
SHAPES = {
    "o": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
    "s": "M-4.5-4.5h9v9h-9Z",
    "^": "M0-5L5 4.5H-5Z",
    "D": "M0-5.5L5.5 0L0 5.5L-5.5 0Z",
    "v": "M0 5L5-4.5H-5Z",
    "P": "M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3Z",
    "X": "M-5-2.5L-2.5-5L0-2.5L2.5-5L5-2.5L2.5 0L5 2.5L2.5 5L0 2.5L-2.5 5L-5 2.5L-2.5 0Z",
    "p": "M0-5.2L5-1.6L3.1 4.3H-3.1L-5-1.6Z",
    "h": "M0-5.2L4.5-2.6V2.6L0 5.2L-4.5 2.6V-2.6Z",
    "*": "M0-5.5L1.3-1.8L5.2-1.7L2.1.7L3.2 4.5L0 2.2L-3.2 4.5L-2.1.7L-5.2-1.7L-1.3-1.8Z",
}


def marks(settings: Sequence[Setting], rewards: Sequence[str]) -> dict[str, Mark]:
    """By key: a run's name, `setting-<label>` for the mean of several runs, `sft`."""
    found: dict[str, Mark] = {}
    for s in settings:
        found |= {run.name: _run(s, run, rewards) for run in s.runs}
        if len(s.runs) > 1:
            found[f"setting-{s.label}"] = _mean(s, rewards)
    sft = next((s for s in settings if s.sft), None) if len(starts(settings)) == 1 else None
    if sft is not None:
        lines = [
            [key.removeprefix("reward/"), show(sft.sft[key])] for key in rewards if key in sft.sft
        ]
        row = next((rows[0] for run in sft.runs if (rows := samples(run, first=True))), None)
        found["sft"] = {
            "title": "SFT, where all runs begin",
            "lines": [["KL", "0"], *lines],
            "sample": _sample(row),
        }
    return found


def spoken(mark: Mark) -> str:
    """A mark in one line."""
    return "; ".join([mark["title"], *(f"{name} {text}" for name, text in mark["lines"])])


def _run(setting: Setting, run: Run, rewards: Sequence[str]) -> Mark:
    seed = run.config.get("seed")
    lines = [
        [_name(key), _estimate(run, key)]
        for key in (KL, *rewards)
        if number(run.summary.get(key)) is not None
    ]
    if number(run.summary.get("kl.coef_final")) is not None:
        lines.append(["coefficient at the end", f"{value(run.summary, 'kl.coef_final'):.3g}"])
    lines.append(["length", f"{value(run.summary, 'response/length'):.3g} tokens"])
    if number(run.summary.get("wall_seconds")) is not None:
        lines.append(["time", duration(value(run.summary, "wall_seconds"))])
    rows = samples(run)
    return {
        "title": setting.label + (f", seed {seed}" if seed is not None else ""),
        "lines": lines,
        "sample": _sample(rows[0] if rows else None),
    }


def _mean(setting: Setting, rewards: Sequence[str]) -> Mark:
    lines = [
        [_name(key), say(setting_interval(setting, key))]
        for key in (KL, *rewards)
        if setting[key].n
    ]
    return {
        "title": f"{setting.label}: mean of {len(setting.runs)} seeds (95 % interval)",
        "lines": lines,
        "sample": None,
    }


def _name(key: str) -> str:
    return "KL, nats" if key == KL else key.removeprefix("reward/")


def _estimate(run: Run, key: str) -> str:
    return show(Estimate(final(run, key), float("nan"), value(run.summary, f"{key}_se"), 1))


def _sample(row: dict[str, Any] | None) -> dict[str, str] | None:
    return (
        {
            "prompt": _cut(row["prompt"], PROMPT),
            "response": _cut(row.get("response", ""), 2 * PROMPT),
        }
        if row is not None
        else None
    )


def _cut(text: Any, most: int) -> str:
    return text if len(text := str(text)) <= most else f"{text[:most]} …"

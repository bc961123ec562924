"""Stories on a screen."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.console import Console
from rich.text import Text

from rlhf.commands.parts.listed.rows import RUNS, age, run_row, states
from rlhf.commands.parts.listed.tables import STATE, table
from rlhf.commands.parts.story.chart import chart
from rlhf.commands.parts.story.run import Story, shown_words
from rlhf.inventory import ArtifactEntry, RunEntry, SweepEntry
from rlhf.metrics import KL
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import plural, plus_minus

WIDE = 100  # characters, where the output is no terminal
HEIGHT = 4  # of a chart
LABEL = 12


def run(console: Console, entry: RunEntry, story: Story) -> None:
    """One screen: what it is, what is special, its curves, numbers, samples, places, what next."""
    width = min(console.width, WIDE)
    _head(console, entry.name, story["state"], entry.changed, story["directory"])
    done = f"{entry.iteration} of {entry.iterations} iterations" if entry.iterations else ""
    sweep = f", sweep {entry.sweep}" if entry.sweep else ""
    parts = [f"study {entry.study}{sweep}", done, f"{amount(entry.disk.bytes)} on disk"]
    _print(console, ", ".join(filter(None, parts)))
    _field(console, "error", [story["error"]] if story["error"] else [], "red")
    _field(console, "damaged", story["damage"], "red")
    _made_by(console, story)
    _curves(console, story["curves"], width)
    _numbers(console, story["evaluation"])
    _samples(console, story["samples"], width)
    stands = [f"{row['stage']} {row['name']}  {row['result']}" for row in story["stands_on"]]
    _field(console, "stands on", [_cut(line, width - LABEL) for line in stands])
    made = story["artifact"]
    _field(console, "artifact", [f"{made['stage']} {made['fingerprint']}"] if made else [])
    points = [*entry.points, entry] if entry.points else []
    _field(console, "points", [_point(point) for point in points])
    _ends(console, story)


def _point(point: RunEntry) -> str:
    row = run_row(point)
    place = os.path.relpath(point.directory)
    return f"{place}  {row['reward']}, KL {row['KL']}"


def _made_by(console: Console, story: Story) -> None:
    """The settings that are not the defaults', where the command does not have them all."""
    words, command = shown_words(story["differs"]), story["command"] or ""
    if not {*words} <= {*shlex.split(command)}:
        _field(console, "settings", [f"{' '.join(words)} (others: the defaults)"], fold=True)
    _field(console, "made by", [command] if command else [])
    if story["sweep_command"]:
        own = " ".join(story["job"])
        _field(console, "sweep", [f"{story['sweep_command']}  (job: {own})"])


def sweep(console: Console, entry: SweepEntry, story: Story) -> None:
    at_work = f", process {entry.parent} is at work" if entry.parent is not None else ""
    _head(console, entry.name, "sweep", entry.changed, story["directory"])
    count = f"{plural(len(entry.jobs), 'job')}: {states(entry)}{at_work}"
    _print(console, f"study {entry.study}, {count}, {amount(entry.disk.bytes)} on disk")
    _field(console, "damaged", story["damage"], "red")
    _field(console, "question", [story["question"]] if story["question"] else [], fold=True)
    _field(console, "made by", [story["command"]] if story["command"] else [])
    verdict = story["verdict"] or f"not compared yet: rlhf compare {story['directory']}"
    _field(console, "verdict", [verdict], fold=True)
    order = {run["name"]: i for i, run in enumerate(story["runs"])}
    jobs = sorted(entry.jobs, key=lambda job: order[job.name])
    columns = [column for column in RUNS if column.name != "sweep"]
    if jobs:
        console.print()
        console.print(table(columns, list(map(run_row, jobs)), console.width), soft_wrap=True)
        console.print()
    _ends(console, story)


def artifact(console: Console, entry: ArtifactEntry, story: Story) -> None:
    name = f"{entry.key.stage} {entry.key.fingerprint}"
    _head(console, name, story["state"], entry.changed, story["directory"])
    seed = "" if story["seed"] is None else f"seed {story['seed']}, "
    _print(console, f"{seed}{amount(entry.disk.bytes)} on disk")
    _field(console, "damaged", story["damage"], "red")
    results = [f"{key} {_plain(value)}" for key, value in story["results"].items()]
    _field(console, "results", [", ".join(results)] if results else [], fold=True)
    _curves(console, story["curves"], min(console.width, WIDE))
    parts = story["data"].items()
    data = [f"{part['rows']} {name}" for name, part in parts if isinstance(part, Mapping)]
    _field(console, "data", [", ".join(data)] if data else [], fold=True)
    parents = [
        f"{p['stage']} {p['fingerprint']}  {p['directory'] or 'not on this disk'}"
        for p in story["parents"]
    ]
    _field(console, "stands on", parents or ["no other stage"])
    users = [os.path.relpath(place) for place in story["used_by"]]
    _field(
        console,
        "used by",
        [*users[:8], *[f"and {len(users) - 8} more"] * (len(users) > 8)] or ["nobody"],
    )
    git = str((story["git"] or {}).get("revision") or "")[:12]
    versions = [f"{k} {v}" for k, v in story["versions"].items() if k in ("rlhf", "torch")]
    made = ", ".join([*versions, *([f"git {git}"] if git else [])])
    _field(console, "made with", [made] if made else [])
    _ends(console, story)


def _head(console: Console, name: str, state: str, changed: float | None, place: str) -> None:
    since = f", {when} ago" if (when := age(changed)) else ""
    line = Text.assemble((clean(name), "bold"), "  ", (state, STATE.get(state, "")), since)
    console.print(line, soft_wrap=True)
    _print(console, place)


def _ends(console: Console, story: Story) -> None:
    """Warnings, files, links, what next."""
    place = story["directory"]
    _field(console, "warnings", story.get("warnings", []), "yellow", fold=True)
    if story.get("log"):
        _field(console, "log ends", story["log"])
    inside = {name: os.path.relpath(p, place) for name, p in story["paths"].items()}
    beside = [story["paths"][name] for name, p in inside.items() if p.startswith("..")]
    within = [p for p in inside.values() if not p.startswith("..")]
    _field(console, "files", [", ".join(within)] if within else [], fold=True)
    _field(console, "report", beside)
    _field(console, "MLflow", list(story.get("links", {}).values()))
    wide = max((len(command) for command, _ in story["next"]), default=0)
    room = console.width - LABEL
    aligned = all(wide + 2 + len(what) <= room for _, what in story["next"])
    lines = [
        line
        for command, what in story["next"]
        for line in ([f"{command:<{wide}}  {what}"] if aligned else [command, f"  {what}"])
    ]
    _field(console, "go on", lines)


def _field(
    console: Console, name: str, lines: Iterable[str], style: str = "", *, fold: bool = False
) -> None:
    """A name, and beside it lines; those that `fold` are wrapped, others stay whole, to be
    copied."""
    for i, line in enumerate(lines):
        label = name if i == 0 else ""
        if not fold:
            text = Text.assemble((f"{label:<{LABEL}}", "bold"), (clean(line), style))
            console.print(text, soft_wrap=True)
            continue
        room = max(min(console.width, WIDE) - LABEL, 20)
        for k, piece in enumerate(Text(clean(line), style).wrap(console, room)):
            console.print(Text.assemble((f"{'' if k else label:<{LABEL}}", "bold"), piece))


def _curves(console: Console, curves: Sequence[Mapping[str, Any]], width: int) -> None:
    """Side by side."""
    if not curves:
        return
    each, plain = width // len(curves) - 2, console.options.ascii_only
    blocks = [
        [
            clean(curve["title"])[:each],
            *chart(curve["points"], width=each, height=HEIGHT, plain=plain),
        ]
        for curve in curves
    ]
    console.print()
    for line in zip_longest(*blocks, fillvalue=""):
        _print(console, "  ".join(f"{part:<{each}}" for part in line).rstrip())
    console.print()


def _numbers(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    cells = [
        (row["title"], _pm(row, ""), _pm(row, "sft_") if "sft_value" in row else "") for row in rows
    ]
    head = (f"at {rows[0]['iteration']}", "policy", "SFT")
    sizes = [max(len(cell[i]) for cell in [head, *cells]) for i in range(3)]
    for i, (name, own, sft) in enumerate([head, *cells]):
        line = f"{name:<{sizes[0]}}  {own:>{sizes[1]}}  {sft:>{sizes[2]}}".rstrip()
        text = Text(clean(line), "bold" if i == 0 else "")
        console.print(Text.assemble((f"{'' if i else 'evaluation':<{LABEL}}", "bold"), text))
    _field(console, "", ["± is half of the 95 % interval, of this evaluation alone"], "dim")


def _samples(console: Console, samples: Sequence[Mapping[str, Any]], width: int) -> None:
    for i, sample in enumerate(samples):
        room = width - LABEL - 4
        label = "samples" if i == 0 else ""
        text = _cut(str(sample.get("prompt", "")), room)
        console.print(Text.assemble((f"{label:<{LABEL}}", "bold"), (text, "dim")), soft_wrap=True)
        pairs = [("SFT", sample["sft"])] if "sft" in sample else []
        for name, answer in [("policy", sample), *pairs]:
            numbers = _scores(answer)
            answered = _cut(str(answer.get("response", "")), max(room - len(numbers) - 8, 20))
            _print(console, f"{'':<{LABEL}}{name:<7} {answered}  {numbers}")


def _scores(sample: Mapping[str, Any]) -> str:
    keys = [k for k in sample if k.startswith("reward/")]
    values = [f"{key.partition('/')[2]} {_plain(sample[key])}" for key in sorted(keys)]
    return ", ".join([*values, *([f"KL {_plain(sample[KL])}"] if KL in sample else [])])


def _pm(row: Mapping[str, Any], prefix: str) -> str:
    value, half = row[f"{prefix}value"], row[f"{prefix}half_95"]
    if not isinstance(half, float) or not isinstance(value, float):
        return _plain(value)
    return plus_minus(value, half)


def _plain(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _cut(text: str, room: int) -> str:
    text = clean(text.strip())
    return text if len(text) <= room else f"{text[: room - 1]}…"


def clean(text: str) -> str:
    """On one line, and without what would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _print(console: Console, line: str) -> None:
    console.print(clean(line), soft_wrap=True, markup=False)

"""The tables of `rlhf list`, each with what its files take together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from rlhf.commands.parts.listed.rows import (
    ARTIFACTS,
    RUNS,
    SWEEPS,
    Entry,
    age,
    artifact_row,
    run_row,
    state_of,
    sweep_row,
)
from rlhf.commands.parts.listed.tables import Column, Row, table
from rlhf.inventory import Inventory, RunEntry, SweepEntry, total
from rlhf.rundir.disk.space import amount
from rlhf.rundir.words import few, plural, wrapped

Sections = Mapping[str, Sequence[Entry]]  # kind -> its entries, in order
TABLES: dict[str, tuple[Sequence[Column], Callable[[Any], Row]]] = {
    "sweeps": (SWEEPS, sweep_row),
    "runs": (RUNS, run_row),
    "artifacts": (ARTIFACTS, artifact_row),
}
README = "README.md"  # of the folder itself, and in git
STAGES = (
    Column(name="artifacts", side="left"),
    Column(name="number"),
    Column(name="damaged"),
    Column(name="used by nobody", gives_way=1),
    Column(name="disk"),
    Column(name="newest"),
)


def bytes_of(sections: Sections) -> int:
    """On disk, each file once. A sweep has its jobs in itself."""
    every = [entry for entries in sections.values() for entry in entries]
    jobs = {job.directory for sweep in every if isinstance(sweep, SweepEntry) for job in sweep.jobs}
    return total(entry.disk for entry in every if entry.directory not in jobs)


def show(console: Console, sections: Sections) -> None:
    """A table for each kind, and a line below with all of them."""
    for i, (kind, entries) in enumerate(sections.items()):
        if not entries:
            continue
        if i:
            console.print()
        columns, row = TABLES[kind]
        console.print(table(columns, list(map(row, entries)), console.width), soft_wrap=True)
    console.print()
    _say(console, _sum(sections))


def show_overview(console: Console, sections: Sections, inventory: Inventory) -> None:
    """Sweeps and single runs, the artifacts by stage, and what else lies there."""
    own = {job.directory for sweep in inventory.sweeps for job in sweep.jobs}
    single = [run for run in sections["runs"] if run.directory not in own]
    shown = {"sweeps": sections["sweeps"], "runs": single}
    for kind, entries in shown.items():
        if entries:
            columns, row = TABLES[kind]
            console.print(table(columns, list(map(row, entries)), console.width), soft_wrap=True)
            console.print()
    if sections["artifacts"]:
        rows = list(_by_stage(sections["artifacts"]))
        console.print(table(STAGES, rows, console.width), soft_wrap=True)
        console.print()
    _say(console, _sum({**shown, "artifacts": sections["artifacts"]}))
    others = [o for o in inventory.others if o.disk.bytes and o.path.name != README]
    if others:
        largest = sorted(others, key=lambda other: -other.disk.bytes)
        named = [f"{os.path.relpath(o.path)} {amount(o.disk.bytes)}" for o in largest]
        _say(console, f"beside them: {few(named, 4)}")
    _say(console, "more: rlhf list runs, rlhf list artifacts, rlhf show NAME")


def _by_stage(entries: Iterable[Any]) -> Iterable[Row]:
    stages: dict[str, list[Any]] = {}
    for entry in entries:
        stages.setdefault(entry.key.stage, []).append(entry)
    for stage, own in stages.items():
        damaged = sum(state_of(entry) == "damaged" for entry in own)
        unused = sum(not getattr(entry, "used_by", True) for entry in own)
        times = [entry.changed for entry in own if entry.changed is not None]
        yield {
            "artifacts": stage,
            "number": str(len(own)),
            "damaged": str(damaged or ""),
            "used by nobody": str(unused or ""),
            "disk": amount(total(entry.disk for entry in own)),
            "newest": age(max(times, default=None)),
        }


def _sum(sections: Sections) -> str:
    """5 runs, 8 artifacts: 7.3 MB on disk, a file with several names counted once"""
    runs = [run for run in sections.get("runs", ()) if isinstance(run, RunEntry)]
    sweeps = [sweep for sweep in sections.get("sweeps", ()) if isinstance(sweep, SweepEntry)]
    jobs = sum(len(sweep.jobs) for sweep in sweeps)
    own = {job.directory for sweep in sweeps for job in sweep.jobs}
    single = sum(run.directory not in own for run in runs)
    parts = [
        *([f"{plural(len(sweeps), 'sweep')} with {plural(jobs, 'run')}"] if sweeps else []),
        *([plural(single, "single run" if sweeps else "run")] if single else []),
        *([plural(len(a), "artifact")] if (a := sections.get("artifacts", ())) else []),
    ]
    size = bytes_of(sections)
    once = ", a file with several names counted once" if size < _sum_of_each(sections, own) else ""
    return f"{', '.join(parts)}: {amount(size)} on disk{once}"


def _sum_of_each(sections: Sections, jobs: set[Path]) -> int:
    every = [entry for entries in sections.values() for entry in entries]
    return sum(entry.disk.bytes for entry in every if entry.directory not in jobs)


def nothing(
    inventory: Inventory, sections: Sections, *, state: str | None, study: str | None
) -> list[str]:
    """Why nothing is shown, and what to type."""
    places = " and ".join(f"{root}{os.sep}" for root in map(os.path.relpath, inventory.roots))
    runs = [*inventory.every_run()]
    if not runs and not inventory.artifacts:
        return [
            f"Nothing is in {places} yet (of {Path.cwd()}).",
            "rlhf experiment=quickstart   makes five runs and their comparison in minutes",
        ]
    own = {"runs": "run", "sweeps": "sweep", "artifacts": "artifact"}
    subject = f"No {own[next(iter(sections))]}" if len(sections) == 1 else "Nothing"
    wanted = [state and f"is {state}", study and f"is of the study {study}"]
    words = " and ".join(filter(None, wanted))
    states = Counter(map(state_of, runs))
    studies = sorted({run.study for run in runs})
    there = [f"{number} {name}" for name, number in states.most_common()]
    return [
        f"{subject} in {places} {words}".rstrip() + ".",
        f"The runs there: {', '.join(there) or 'none'}; studies: {few(studies) or 'none'}.",
    ]


def _say(console: Console, line: str) -> None:
    text = wrapped(line, console.width) if console.is_terminal else line
    console.print(text, soft_wrap=True, markup=False)

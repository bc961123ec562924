"""The walk through folders of results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rlhf.inventory.disk import disk_of, newest, scan
from rlhf.inventory.entries import (
    ArtifactEntry,
    Inventory,
    Leftover,
    Other,
    RunEntry,
    SweepEntry,
)
from rlhf.inventory.needs import with_users
from rlhf.inventory.runs import CHECKPOINTS, MARKS, read_run
from rlhf.inventory.stores import STORE, artifact_or_leftover, is_artifact
from rlhf.rundir.read import collecting, read_json
from rlhf.rundir.records import METRICS
from rlhf.rundir.status import LAUNCHER, read_launcher, sweep_jobs

OUTPUTS, SWEEPS = Path("outputs"), Path("sweeps")  # of conf/paths/default.yaml
SWEEP, REPORT = "sweep.json", "report.html"
DEEP = 5  # folders below a root: outputs/reproduced/<sweep>-1/<run>
# what a run leaves, be it damaged
LEFT = (*MARKS, METRICS, CHECKPOINTS)
FOREIGN = ("mlartifacts", "mlruns", "lost+found")  # MLflow's copies of our files; the disk's own


@dataclass
class _Found:
    runs: list[RunEntry] = field(default_factory=list)
    sweeps: list[SweepEntry] = field(default_factory=list)
    artifacts: list[ArtifactEntry] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)

    def count(self) -> int:
        return len(self.runs) + len(self.sweeps) + len(self.artifacts) + len(self.leftovers)


def take_inventory(*roots: Path, among: Iterable[Path] = ()) -> Inventory:
    """What lies in these folders, each of which may itself be a run, a sweep, an artifact or hold
    such; by default in outputs/ and sweeps/. Nothing is written, and nothing raises: what is
    damaged says so. Runs and artifacts have those among them that need them.

    Args:
        among: further folders, in which those may lie that need them.
    """
    roots = roots or (OUTPUTS, SWEEPS)
    found, seen = _Found(), set[Path]()
    for root in roots:
        _visit(root, found, seen, DEEP, is_root=True)
    runs, sweeps, artifacts = len(found.runs), len(found.sweeps), len(found.artifacts)
    leftovers = tuple(found.leftovers)
    for place in among:
        _visit(place, found, seen, DEEP)
    whole = with_users(
        Inventory(
            roots=roots,
            runs=tuple(found.runs),
            sweeps=tuple(found.sweeps),
            artifacts=tuple(found.artifacts),
            leftovers=leftovers,
            others=tuple(found.others),
            unread=tuple(found.unread),
        )
    )
    return replace(
        whole,
        runs=whole.runs[:runs],
        sweeps=whole.sweeps[:sweeps],
        artifacts=whole.artifacts[:artifacts],
    )


def _visit(
    place: Path, found: _Found, seen: set[Path], depth: int, *, is_root: bool = False
) -> None:
    """Adds what a folder is, or what lies in it. One that several roots hold is visited once."""
    own = place.resolve()
    if own in seen:
        return
    seen.add(own)
    if is_closed(place):
        found.unread.append(place)
    elif (place / SWEEP).is_file() or (place / LAUNCHER).is_file():
        sweep = read_sweep(place)
        found.sweeps.append(sweep)
        found.unread += filter(is_closed, folders(place))
        seen.update(job.directory.resolve() for job in sweep.jobs)
    elif is_artifact(place) and not (is_root and place.name == STORE):
        _add_artifact(place, found)
    elif any((place / mark).exists() for mark in LEFT):
        found.runs.append(read_run(place))
    elif place.name == STORE:
        for stage in folders(place):
            for each in folders(stage):
                if each.resolve() not in seen:
                    seen.add(each.resolve())
                    _add_artifact(each, found)
    elif depth:
        _below(place, found, seen, depth, is_root=is_root)


def _below(place: Path, found: _Found, seen: set[Path], depth: int, *, is_root: bool) -> None:
    for child in children(place):
        before, known = found.count(), child.resolve() in seen
        if child.is_dir() and child.name not in FOREIGN:
            _visit(child, found, seen, depth - 1)
        if is_root and found.count() == before and not known:
            found.others.append(Other(path=child, disk=disk_of(scan(child))))


def _add_artifact(place: Path, found: _Found) -> None:
    entry = artifact_or_leftover(place)
    if isinstance(entry, Leftover):
        found.leftovers.append(entry)
    else:
        found.artifacts.append(entry)


def read_sweep(directory: Path) -> SweepEntry:
    """A sweep with its jobs, those that have not begun among them."""
    files = scan(directory)
    with collecting() as odd:
        written, launcher = read_json(directory / SWEEP), read_launcher(directory)
        states = sweep_jobs(directory, launcher)
    named = [state.directory.name for state in states]
    closed = {place.name for place in folders(directory) if is_closed(place)}
    there = [place for place in folders(directory) if place.name not in closed]
    lost = [p.name for p in there if any((p / mark).exists() for mark in LEFT)]
    own = directory.absolute().name
    jobs = tuple(
        replace(read_run(directory / name, launcher), sweep=own)
        for name in dict.fromkeys([*named, *lost])
        if name not in closed
    )
    damage = [f"{path.name}: {what}" for path, what in odd if path.parent == directory]
    times = [job.changed for job in jobs if job.changed is not None]
    report = directory / REPORT
    return SweepEntry(
        name=own,
        directory=directory,
        study=str(written.get("study", "")),
        overrides=tuple(written.get("overrides", ())),
        jobs=jobs,
        parent=launcher.parent,
        damage=tuple(dict.fromkeys(damage)),
        report=report if REPORT in files else None,
        changed=max(times, default=newest(files)),
        disk=disk_of(files),
    )


def is_closed(folder: Path) -> bool:
    """Whether a folder is there and this user may not read it."""
    return os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK)


def children(folder: Path) -> Iterator[Path]:
    """What lies in a folder and is not hidden, by name; nothing of one that cannot be read."""
    try:
        places: Iterable[Path] = sorted(folder.iterdir())
    except OSError:
        return
    yield from (place for place in places if not place.name.startswith("."))


def folders(folder: Path) -> list[Path]:
    return [place for place in children(folder) if place.is_dir() and not place.is_symlink()]

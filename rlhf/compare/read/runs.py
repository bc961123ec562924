"""Reads runs, of one sweep's directory or of several places, and the stages, code and packages that
they stand on. Knows the files of a run, not the program that wrote them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf.compare import COMPARISONS
from rlhf.compare.read.columns import Columns
from rlhf.config.naming import as_now, named_flat, path_grid, pieces_of
from rlhf.config.stages import STAGES
from rlhf.rundir.files import flatten
from rlhf.rundir.noted import name_losses
from rlhf.rundir.paths.points import path_of, point_of, points_of
from rlhf.rundir.read import Lines, read_json, read_yaml
from rlhf.rundir.secrets.redact import redact_text
from rlhf.rundir.status import SweepLauncher, read_launcher, read_status, run_state

MARKS = ("config.yaml", "manifest.json", "status.json", "summary.json")
GEOMETRIC = ("kl.controller.start", "kl.controller.points")  # a path's grid in other words


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job of a sweep, whatever became of it."""

    name: str
    directory: Path
    status: str  # one of the words of rlhf.rundir.status
    config: dict[str, Any]  # dotted keys; a piece by its name
    pieces: frozenset[str]  # the keys of `config` that are pieces
    summary: dict[str, Any]  # empty unless finished
    metrics: tuple[dict[str, Any], ...]  # one row an iteration
    error: str | None  # without logins
    overrides: tuple[str, ...]
    # of the first evaluation (SFT) and the last, one number a prompt; empty in runs before 0.2.0
    by_prompt: tuple[dict[str, Any], ...] = ()
    # of a path's points, the last of which is its run: (the run's name, the number from 0)
    path: tuple[str, int] | None = None

    @cached_property
    def columns(self) -> Columns:
        """A metric's key -> its number in each row of `metrics`."""
        return Columns(self.metrics)

    @cached_property
    def iterations(self) -> list[int]:
        return [int(row.get("iteration", 0)) for row in self.metrics]

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"

    @property
    def finished(self) -> bool:
        return self.status == "finished"


def load(directory: Path) -> list[Run]:
    """Every run in a sweep's directory with its points, and the jobs of sweep.json that never
    began, by name."""
    jobs = _jobs(directory)
    there = {path.name for path in directory.iterdir() if is_run(path)}
    launcher = read_launcher(directory)
    runs = (
        run
        for name in sorted(there | jobs.keys())
        for run in with_points(directory / name, jobs.get(name, ()), launcher)
    )
    return once(runs)


def _jobs(sweep: Path) -> dict[str, tuple[str, ...]]:
    """The words of each job's command, by its name; none where this is no sweep's directory."""
    jobs = read_json(sweep / "sweep.json").get("jobs", ())
    return {job["name"]: tuple(job.get("overrides", ())) for job in jobs}


def with_points(
    directory: Path, overrides: tuple[str, ...] = (), launcher: SweepLauncher | None = None
) -> list[Run]:
    """The run in a directory, after the points below it where it is a path."""
    points = (load_run(place, overrides) for place in points_of(directory))
    return [*points, load_run(directory, overrides, launcher)]


def _walked(config: dict[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the coefficients of a path to this run, whichever way they were asked for: a
    point has those until it, so that what two paths have in common is one."""
    section = plain.get("kl")
    known = section if isinstance(section, Mapping) and "coef" in section else {}
    grid = path_grid(known) if known else None
    if grid is None:
        return config
    rest = {key: value for key, value in config.items() if key not in GEOMETRIC}
    return {**rest, "kl.controller.grid": list(grid)}


def once(runs: Iterable[Run]) -> list[Run]:
    """Without points that two paths have, as one of them went on from the other's: the same name
    and policy. The one of the path with most points stays."""
    kept: dict[object, Run] = {}
    for run in runs:
        digest = run.summary.get("policy_sha256")
        key = (run.name, digest) if run.path and digest else run.directory
        if key not in kept or _points(run) > _points(kept[key]):
            kept[key] = run
    return [*kept.values()]


def _points(run: Run) -> int:
    return int(run.summary["path"]["points"]) if run.path else 0


def is_run(place: Path) -> bool:
    return any((place / mark).is_file() for mark in MARKS)


def load_run(
    directory: Path, overrides: tuple[str, ...] = (), launcher: SweepLauncher | None = None
) -> Run:
    """The run in a directory. `launcher`: read from the directory above where it is not given."""
    summary, status = read_json(directory / "summary.json"), read_status(directory)
    state = run_state(directory, launcher).state
    name_losses(directory)
    plain = read_yaml(directory / "config.yaml")
    flat = flatten(plain)
    rows = Lines(directory / "by_prompt.jsonl").read()
    return Run(
        name=directory.name,
        directory=directory,
        status=state,
        config=_walked(as_now(named_flat(flat)), plain),
        pieces=frozenset(pieces_of(flat)),
        summary=summary if state == "finished" else {},
        metrics=tuple(Lines(directory / "metrics.jsonl").read()),
        error=redact_text(str(status["error"])) if status.get("error") else None,
        overrides=overrides,
        by_prompt=(*rows[:1], *rows[-1:]),
        path=point_of(summary) if state == "finished" else None,
    )


def gather(places: Sequence[Path]) -> list[Run]:
    """The runs of the places, each a run's directory or a sweep's, with the points of paths. A run
    that is named twice counts once.

    Names that two runs share get the names of the folders they lie in before them, as many as tell
    them apart.
    """
    every: dict[Path, Run] = {}
    for place in places:
        for run in _alone(place) if is_run(place) else load(place):
            every.setdefault(run.directory.resolve(), run)
    runs = {run.directory.resolve(): run for run in once(every.values())}
    names, folders = {path: run.name for path, run in runs.items()}, dict.fromkeys(runs, 0)
    while shared := [path for path in names if Counter(names.values())[names[path]] > 1]:
        for path in shared:
            folders[path] += 1
            names[path] = _under(path, runs[path].name, folders[path])
    return [
        replace(run, name=names[path], path=_renamed(run.path, path, names))
        for path, run in runs.items()
    ]


def _alone(place: Path) -> list[Run]:
    """A run that is named by itself, with its points; it may be a job of a sweep."""
    own = place.resolve()
    return with_points(place, _jobs(own.parent).get(own.name, ()))


def _renamed(
    path: tuple[str, int] | None, directory: Path, names: Mapping[Path, str]
) -> tuple[str, int] | None:
    """A point with the name that its path's run has here."""
    return path and (names.get(path_of(directory) or directory, path[0]), path[1])


def _under(path: Path, name: str, folders: int) -> str:
    """`name` below as many of the path's folders; the whole path where there are no more."""
    above = path.parts[1:-1]
    return "/".join((*above[len(above) - folders :], name)) if folders <= len(above) else str(path)


def home(runs: Sequence[Run]) -> Path:
    """The folder of a comparison of these runs: the same for the same runs."""
    key = "\n".join(sorted(str(run.directory.resolve()) for run in runs))
    return COMPARISONS / f"{len(runs)}-runs-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def fingerprints(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Stage -> the distinct fingerprints that the runs stand on, in the order of the runs."""
    reported = [run.summary.get("fingerprints") or {} for run in runs]
    stages = dict.fromkeys(
        stage
        for prints in reported
        for stage in prints
        if stage not in STAGES or not STAGES[stage].is_run
    )
    return {s: list(dict.fromkeys(str(p[s]) for p in reported if s in p)) for s in stages}


def manifests(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [read_json(run.directory / "manifest.json") for run in runs if run.finished]


def revisions(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """Git revisions, those of a tree with changes marked."""
    gits = [m["git"] for m in _legs(manifests) if (m.get("git") or {}).get("revision")]
    return sorted(
        {str(git["revision"])[:12] + (" with changes" if git.get("dirty") else "") for git in gits}
    )


def versions(manifests: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Package -> the versions that made the runs."""
    used = [leg.get("versions") or {} for leg in _legs(manifests)]
    packages = dict.fromkeys(package for versions in used for package in versions)
    return {p: sorted({str(versions[p]) for versions in used if p in versions}) for p in packages}


def _legs(manifests: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each run what made it: its manifest, and the legs of one that was cut."""
    lists = [made["legs"] for made in manifests if isinstance(made.get("legs"), list)]
    return [*manifests, *(leg for legs in lists for leg in legs if isinstance(leg, dict))]


def inexact(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each run that was cut and went on under other packages, code or machine."""
    return [
        f"{made.get('name')} went on under another {'; '.join(map(str, differing))}:"
        " its numbers may differ from those of a run that nobody stopped."
        for made in manifests
        if isinstance(differing := made.get("resumed_under_another"), list)
    ]


def shared(prints: Sequence[str]) -> str:
    """The number of different fingerprints of a stage, in words."""
    return "one for all runs" if len(prints) == 1 else f"{len(prints)} different"

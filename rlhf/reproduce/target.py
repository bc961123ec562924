"""What is to be made again: a run, a stage's artifact or a sweep, found by its directory or by
an MLflow run id."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from rlhf.config.messages.suggest import nearest
from rlhf.rundir.read import read_json
from rlhf.rundir.status import State, run_state
from rlhf.tracking.lookup import run_directory, run_ids

Kind = Literal["run", "stage", "sweep"]
MARKS = ("config.yaml", "manifest.json")  # without both there is nothing to start from
ALIKE = 0.5  # of difflib, 1 is equal
RUN_ID = re.compile(r"[0-9a-f]{6,32}")
STAGES = ("sft", "reward_model", "ppo")


class NoTarget(ValueError):
    """The argument names nothing that can be made again. The message has what is near it."""


@dataclass(frozen=True, kw_only=True)
class Original:
    """One run, or one stage's artifact, as it lies there."""

    name: str
    directory: Path
    manifest: dict[str, Any]  # empty where there is none
    summary: dict[str, Any]
    status: dict[str, Any]
    state: State
    overrides: tuple[str, ...] = ()  # of a job of a sweep

    @property
    def is_artifact(self) -> bool:
        return self.manifest.get("kind") == "artifact"

    @property
    def stage(self) -> str:
        return str(self.manifest.get("stage"))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the data and of the stages as far as they were reached."""
        own = {self.stage: str(self.manifest["hash"])} if self.is_artifact else {}
        return {
            **self.manifest.get("fingerprints", {}),
            **self.summary.get("fingerprints", {}),
            **own,
        }

    @property
    def began(self) -> bool:
        return all((self.directory / mark).is_file() for mark in MARKS)


@dataclass(frozen=True, kw_only=True)
class Target:
    kind: Kind
    name: str
    directory: Path
    jobs: tuple[Original, ...]  # one, unless it is a sweep
    overrides: tuple[str, ...] = ()  # of a sweep


def find(argument: str, uri: str) -> Target:
    """Raises NoTarget."""
    path = Path(argument)
    if path.is_dir():
        return _at(path)
    if RUN_ID.fullmatch(argument):
        return _of_id(argument, uri)
    raise NoTarget(
        f"{argument} is"
        f" {'a file, not a directory' if path.exists() else 'no directory'}.{_meant(_near(path))}"
    )


def _of_id(argument: str, uri: str) -> Target:
    try:
        if len(argument) == 32:
            return _at(run_directory(uri, argument))
        near = [run for run in run_ids(uri) if run.startswith(argument)][:3] or _near(
            Path(argument)
        )
        reason = f"{argument} is no directory and no whole MLflow run id (32 digits)."
    except ValueError as error:
        raise NoTarget(str(error)) from None
    except LookupError as error:
        alike = nearest(argument, run_ids(uri))
        near, reason = [alike] if alike else [], str(error)
    raise NoTarget(f"{reason}{_meant(near)}")


def read_original(directory: Path, overrides: Iterable[str] = ()) -> Original:
    manifest, summary, status = (
        read_json(directory / f"{name}.json") for name in ("manifest", "summary", "status")
    )
    artifact = manifest.get("kind") == "artifact"  # published whole
    return Original(
        name=directory.resolve().name,
        directory=directory,
        manifest=manifest,
        summary=summary,
        status=status,
        state="finished" if artifact else run_state(directory).state,
        overrides=tuple(overrides),
    )


def _at(path: Path) -> Target:
    path = path.absolute()
    name = path.resolve().name
    if (path / "sweep.json").is_file():
        listed = read_json(path / "sweep.json")
        jobs = {
            str(job["name"]): tuple(map(str, job.get("overrides", ())))
            for job in listed.get("jobs", ())
        }
        names = [*jobs, *(child.name for child in _runs_in(path) if child.name not in jobs)]
        originals = tuple(read_original(path / job, jobs.get(job, ())) for job in names)
        if not any(original.began for original in originals):
            raise NoTarget(f"no job of {shown(path)} has begun: there is nothing to compare with.")
        return Target(
            kind="sweep",
            name=name,
            directory=path,
            jobs=originals,
            overrides=tuple(map(str, listed.get("overrides", ()))),
        )
    found = read_original(path)
    if found.began:
        return Target(
            kind="stage" if found.is_artifact else "run",
            name=_label(found),
            directory=path,
            jobs=(found,),
        )
    inside = _below(path)
    if name.endswith(".work"):
        raise NoTarget(
            f"{shown(path)} is a stage that is not finished; name the run that makes it."
        )
    if inside:
        raise NoTarget(
            f"{shown(path)} is no run and no sweep, but holds {len(inside)} of"
            f" them.{_meant([shown(child) for child in inside[:3]])}"
        )
    lost = " and ".join(mark for mark in MARKS if not (path / mark).is_file())
    raise NoTarget(
        f"{shown(path)} is no run: it has no"
        f" {lost}.{_meant([shown(path.parent)] if is_target(path.parent) else _near(path))}"
    )


def _label(original: Original) -> str:
    """A folder's name; an artifact's is its fingerprint alone, which says too little."""
    return f"{original.stage}-{original.name[:8]}" if original.is_artifact else original.name


def is_target(path: Path) -> bool:
    return (path / "sweep.json").is_file() or all((path / mark).is_file() for mark in MARKS)


def _runs_in(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and is_target(child))


def _below(path: Path) -> list[Path]:
    """Runs and sweeps up to three folders down, as far as a quick look goes."""
    found = (child for depth in ("*", "*/*", "*/*/*") for child in islice(path.glob(depth), 1000))
    return sorted(
        child
        for child in found
        if child.is_dir() and is_target(child) and not (child.parent / "sweep.json").is_file()
    )


def _near(path: Path) -> list[str]:
    """Up to three that could have been meant, near the path and where runs lie by default; the
    most similar first."""
    wanted = shown(path.absolute()).lower()

    def likeness(child: Path) -> float:
        if path.name and path.name.lower() in child.name.lower():
            return 1.0
        pairs = ((child.name, path.name), (shown(child.absolute()), wanted))
        return max(difflib.SequenceMatcher(None, a.lower(), b.lower()).ratio() for a, b in pairs)

    folder = next((parent for parent in path.absolute().parents if parent.is_dir()), Path())
    places = [
        *_below(folder),
        *(child for name in ("sweeps", "outputs") for child in _below(Path(name))),
    ]
    rated = {
        child.resolve(): (likeness(child), child) for child in places if not child.is_symlink()
    }
    best = sorted((pair for pair in rated.values() if pair[0] >= ALIKE), key=lambda pair: -pair[0])
    return [shown(child.absolute()) for _, child in best[:3]]


def _meant(near: list[str]) -> str:
    if not near:
        return (
            " Runs are in outputs/<study>/<run>, stages in outputs/artifacts/<stage>/<fingerprint>,"
            " sweeps in sweeps/<name>."
        )
    return f" Did you mean {' or '.join(near)}?"


def shown(path: Path, here: Path | None = None) -> str:
    """Relative to `here` (where we are), if that is shorter."""
    relative = os.path.relpath(path, here)
    return min(relative, str(path), key=len)

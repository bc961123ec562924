"""The target of a reproduction: a run, a stage's artifact or a sweep, found by its directory or by
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

from rlhf.config.messages import nearest
from rlhf.rundir.noted import name_losses
from rlhf.rundir.read import read_json
from rlhf.rundir.status import State, read_status, run_state
from rlhf.tracking.lookup import run_directory, run_ids

Kind = Literal["run", "stage", "sweep"]
MARKS = ("config.yaml", "manifest.json")  # without both there is nothing to start from
ALIKE = 0.5  # of difflib, 1 is equal
RUN_ID = re.compile(r"[0-9a-f]{6,32}")


class Refused(ValueError):
    """Nothing was made again. The message says why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n  ".join(lines))


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
    """Raises Refused."""
    path = Path(argument)
    if path.is_dir():
        return _at(path)
    if RUN_ID.fullmatch(argument):
        return _of_id(argument, uri)
    raise Refused(
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
        raise Refused(str(error)) from None
    except LookupError as error:
        alike = nearest(argument, run_ids(uri))
        near, reason = [alike] if alike else [], str(error)
    raise Refused(f"{reason}{_meant(near)}")


def read_original(directory: Path, overrides: Iterable[str] = ()) -> Original:
    name_losses(directory)
    manifest, summary = (read_json(directory / f"{name}.json") for name in ("manifest", "summary"))
    return Original(
        name=directory.resolve().name,
        directory=directory,
        manifest=manifest,
        summary=summary,
        status=read_status(directory),
        # an artifact is published whole
        state="finished" if manifest.get("kind") == "artifact" else run_state(directory).state,
        overrides=tuple(map(str, overrides)),
    )


def _at(path: Path) -> Target:
    path = path.absolute()
    name = path.resolve().name
    if (path / "sweep.json").is_file():
        listed = read_json(path / "sweep.json")
        jobs = {str(job["name"]): job.get("overrides", ()) for job in listed.get("jobs", ())}
        names = dict.fromkeys(
            [*jobs, *(run.name for run in sorted(filter(is_target, path.iterdir())))]
        )
        originals = tuple(read_original(path / job, jobs.get(job, ())) for job in names)
        if not any(original.began for original in originals):
            raise Refused(f"no job of {shown(path)} has begun: there is nothing to compare with.")
        return Target(
            kind="sweep",
            name=name,
            directory=path,
            jobs=originals,
            overrides=tuple(map(str, listed.get("overrides", ()))),
        )
    original = read_original(path)
    if original.is_artifact and (run := original.manifest.get("run")):
        raise Refused(f"{shown(path)} is the policy of a run; to reproduce it, name that: {run}")
    if original.began:
        kind: Kind = "stage" if original.is_artifact else "run"
        # a fingerprint alone says too little
        name = f"{original.stage}-{name[:8]}" if original.is_artifact else name
        return Target(kind=kind, name=name, directory=path, jobs=(original,))
    if name.endswith(".work"):
        raise Refused(f"{shown(path)} is a stage that is not finished; name the run that makes it.")
    if inside := _below(path):
        raise Refused(
            f"{shown(path)} is no run and no sweep, but holds {len(inside)} of"
            f" them.{_meant([shown(child) for child in inside[:3]])}"
        )
    lost = " and ".join(mark for mark in MARKS if not (path / mark).is_file())
    raise Refused(
        f"{shown(path)} is no run: it has no"
        f" {lost}.{_meant([shown(path.parent)] if is_target(path.parent) else _near(path))}"
    )


def is_target(path: Path) -> bool:
    return (path / "sweep.json").is_file() or all((path / mark).is_file() for mark in MARKS)


def _below(path: Path) -> list[Path]:
    """Runs and sweeps up to three folders down, as far as a quick look goes."""
    places = (child for depth in ("*", "*/*", "*/*/*") for child in islice(path.glob(depth), 1000))
    return sorted(
        child
        for child in places
        if is_target(child) and not (child.parent / "sweep.json").is_file()
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
    return min(os.path.relpath(path, here), str(path), key=len)

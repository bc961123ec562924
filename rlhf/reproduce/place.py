"""Runs made again: in a directory of their own, found again by the same command until they are
done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from rlhf.config.naming import run_hash
from rlhf.config.schema import Config
from rlhf.config.validate import validate
from rlhf.digests import digest
from rlhf.reproduce.check import Job
from rlhf.reproduce.target import Refused, Target, shown
from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.stages.provenance.whole import damage

RECORD = "reproduction.json"
DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Place:
    directory: Path
    begun: bool  # an earlier command was stopped in it

    @property
    def store(self) -> Path:
        return self.directory / "artifacts"


def work_digest(target: Target, jobs: Sequence[Job], *, reuse: bool) -> str:
    """Two commands that would do the same work have the same digest."""
    work = {
        job.original.name: [run_hash(job.config.plain()), job.data, job.fingerprints]
        for job in jobs
    }
    return digest({"of": str(target.directory.resolve()), "reuse": reuse, "work": work})


def choose(target: Target, into: Path | None, base: Path, mark: str) -> Place:
    """`into`, or the first of `<base>/<name>-1`, `-2`, ... that is free or was left half-done by
    the same command.

    Raises:
        Refused: `into` holds something else, or lies in the original.
    """
    if into is None:
        places = (base / f"{target.name}-{index}" for index in count(1))
        into = next(path for path in places if _is_free(path) or _goes_on(path, mark))
    elif into.resolve().is_relative_to(target.directory.resolve()):
        raise Refused(
            f"--into {shown(into)} lies in the original, which is never touched: choose another"
            " directory."
        )
    elif not (_is_free(into) or _goes_on(into, mark)):
        what = (
            "holds a reproduction already"
            if (into / RECORD).is_file()
            else "is not an empty directory"
        )
        raise Refused(f"--into {shown(into)} {what}: choose another directory.")
    return Place(directory=into, begun=not _is_free(into))


def _is_free(path: Path) -> bool:
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


def _goes_on(path: Path, mark: str) -> bool:
    before = read_json(path / RECORD)
    return before.get("identity") == mark and before.get("state") != DONE


def record(place: Place, **facts: Any) -> None:
    """Writes reproduction.json; facts that are not given stay as they were."""
    write_json(place.directory / RECORD, {**read_json(place.directory / RECORD), **facts})


def moved(job: Job, place: Place) -> Config:
    """The job's config in its new place, with artifacts of its own and nobody watching."""
    plain = job.config.plain()
    paths = {
        **plain["paths"],
        "artifacts": str(place.store),
        "run_name": job.original.name,
        "run_dir": str(place.directory),
    }
    return validate(
        {
            **plain,
            "paths": paths,
            "checkpoints": {**plain["checkpoints"], "take_over": False},
            "sweep": None,
            "rerun": False,
            "time_limit": None,
            "requeue": False,
            "tracking": {"_target_": "rlhf.tracking.base.NoTracker"},
        }
    )


def reusable(job: Job) -> dict[str, Path]:
    """The artifacts of the stages before the job's own that are there and are still what the config
    asks for."""
    return {
        stage: artifact
        for stage in job.parents
        if (artifact := job.artifact(stage))
        and job.original.fingerprints.get(stage) == job.fingerprints[stage]
        and not damage(artifact)
    }


def directory_of(job: Job, target: Target, place: Place) -> Path:
    return place.directory / job.original.name if target.kind == "sweep" else place.directory


def make_again(
    target: Target, jobs: Sequence[Job], place: Place, *, reuse: bool, at_once: int | None = None
) -> int:
    """Goes on where an earlier command stopped. Jobs that fail do not stop the others.

    Returns:
        130 or 143 if a signal stopped it (the state is saved), else 0 or 1.

    Raises:
        RunFailed: another process is at work in the same place.
    """
    for job in jobs if reuse else ():
        for stage, artifact in reusable(job).items():  # read there, never written
            link = place.store / stage / job.fingerprints[stage]
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(artifact.resolve(), target_is_directory=True)
    if target.kind != "sweep":
        from rlhf.runs.execute import execute

        return execute(
            moved(jobs[0], place), directory=place.directory, log=place.directory / "log.txt"
        )
    from rlhf.sweeps.job import GOOD
    from rlhf.sweeps.launchers.local import run_sweep

    runs = [(job.original.overrides, moved(job, place)) for job in jobs]
    room = room_for([cfg for _, cfg in runs], place.directory)
    try:
        outcomes = run_sweep(
            runs, place.directory, overrides=target.overrides, n=at_once, room=room
        )
    except SystemExit as stop:
        return int(stop.code or 0)
    return int(any(outcome.state not in GOOD for outcome in outcomes))


def room_for(configs: Iterable[Config], directory: Path) -> int | None:
    """Runs that the memory has room for at a time; None where that is not known."""
    from rlhf.runs.machine.fits import fit_of
    from rlhf.runs.machine.together import Fits

    fits = (fit_of(cfg, directory) for cfg in configs)
    return Fits(fits=tuple(fit for fit in fits if fit is not None)).room

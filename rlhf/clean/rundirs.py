"""What could go of a run's directory: the checkpoints of a finished one, and what a kill left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rlhf.clean.stores import strays_in
from rlhf.clean.things import Thing
from rlhf.inventory import RunEntry
from rlhf.inventory.disk import disk_of, newest, scan
from rlhf.inventory.runs import CHECKPOINTS
from rlhf.rundir.disk.folder import ASIDE
from rlhf.rundir.noted import MANIFEST, lost_results
from rlhf.rundir.paths.points import FOLDER as POINTS
from rlhf.rundir.status import read_launcher, sweep_jobs

# files of checkpoints, and those that were set aside; any other name is somebody's own
OURS = re.compile(r"iteration-\d{6,}\.(ckpt|sha256)(\.damaged\d*)?", re.ASCII)


def things_of(run: RunEntry) -> Iterator[Thing]:
    """Of a run and the points below it, under the run's lock."""
    if not run.directory.is_dir():
        return
    for each in (*run.points, run):
        if (each.directory / CHECKPOINTS).is_dir():
            yield _checkpoints(each, run)
    for folder in (run.directory, run.directory / CHECKPOINTS):
        yield from strays_in(folder)
    half = run.directory / POINTS / ASIDE
    if half.is_dir() and not half.is_symlink():
        files = scan(half)
        yield Thing(
            kind="work",
            path=half,
            goes=not run.is_at_work,
            why="a process is at work in it" if run.is_at_work else "a point that was half-written",
            lock=run.directory,
            disk=disk_of(files),
            changed=newest(files),
        )


def _checkpoints(run: RunEntry, owner: RunEntry) -> Thing:
    """All of a finished run; of any other they stay."""
    why = why_kept(run, owner)
    return Thing(
        kind="checkpoints",
        path=run.directory / CHECKPOINTS,
        goes=not why,
        why=why or "its run is finished",
        lock=owner.directory,
        disk=run.checkpoints,
        changed=run.changed,
    )


def why_kept(run: RunEntry, owner: RunEntry) -> str:
    """Why the checkpoints of a run stay; empty where they may go.

    Args:
        owner: of a path's point the path's run, else the run itself.
    """
    if not owner.is_finished:
        whose = "its run" if run is owner else "the path that it is a point of"
        going = "is at work" if owner.is_at_work else f"is {owner.state}, and goes on from them"
        return f"{whose} {going}"
    if _has_jobs_to_begin(owner.directory.parent):
        return "a job of its sweep has yet to begin, and may go on from them"
    is_run = run.manifest.get("kind") == "run" and isinstance(run.manifest.get("config"), dict)
    if not is_run or any(words.startswith(MANIFEST) for words in run.damage):
        return f"not recognised: its run has no whole {MANIFEST}"
    if (run.directory / CHECKPOINTS).is_symlink():
        return "it is a symbolic link"
    others = [n for n in scan(run.directory / CHECKPOINTS) if n != "." and not OURS.fullmatch(n)]
    if others := [name for name in others if not Path(name).name.startswith(".")]:
        return f"it holds files that are not ours: {sorted(others)[0]}"
    if lost := lost_results(run.directory):
        return f"{next(iter(lost.values()))}: it may be put back from them"
    return ""


def _has_jobs_to_begin(sweep: Path) -> bool:
    """Whether a sweep is at work that has not come to all of its jobs."""
    launcher = read_launcher(sweep)
    at_work = launcher.parent is not None
    return at_work and any(job.state == "waiting" for job in sweep_jobs(sweep, launcher))

"""The jobs of a sweep and how each stands: while it runs, after it ended, after it was killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlhf.rundir.read import read_json
from rlhf.rundir.status import RunState, read_launcher, run_state


@dataclass(frozen=True, kw_only=True)
class SweepState:
    directory: Path
    jobs: tuple[RunState, ...]
    parent: int | None  # the process that runs them, if it is alive


def sweep_state(directory: Path) -> SweepState:
    """Every job of sweep.json, and every other run that lies in the sweep's directory."""
    launcher = read_launcher(directory)
    named = [str(job["name"]) for job in read_json(directory / "sweep.json").get("jobs", ())]
    others = sorted(path.parent.name for path in directory.glob("*/status.json"))
    jobs = tuple(run_state(directory / name, launcher) for name in dict.fromkeys([*named, *others]))
    return SweepState(directory=directory, jobs=jobs, parent=launcher.parent)

"""How each run of a command stands before it: finished, begun, or not there. Nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlhf.config.naming import other_version, run_hash
from rlhf.config.properties import most_iterations
from rlhf.config.schema import Config
from rlhf.config.stages import STAGES
from rlhf.rundir.noted import is_complete, manifest_damage
from rlhf.rundir.read import last_row, read_json
from rlhf.rundir.records import METRICS
from rlhf.rundir.status import is_finished, run_state
from rlhf.runs.machine.entered import changes
from rlhf.runs.planned.stages import StageState

# mend: it is finished, and what it lost since is put back, or it is refused
Would = Literal["nothing", "mend", "resume", "start", "wait", "be refused"]


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run as it would be. `at`: the iteration it goes on from, of `iterations`."""

    name: str
    hash: str
    directory: Path
    overrides: tuple[str, ...]
    state: str  # as runs are listed: rlhf.rundir.status
    would: Would
    why: str = ""  # it would be refused
    at: int = 0
    iterations: int = 0
    stages: tuple[StageState, ...] = ()

    @property
    def is_missing(self) -> bool:
        return self.would in ("resume", "start", "wait")

    @property
    def left(self) -> float:
        """The share of its own iterations that is still to be made."""
        return 1 - self.at / self.iterations if self.iterations else 1.0


def planned_run(
    cfg: Config,
    directory: Path,
    *,
    overrides: Sequence[str] = (),
    stages: Sequence[StageState] = (),
) -> PlannedRun:
    """The run of a config in a directory that may be there."""
    own = run_hash(cfg.plain())
    is_run = STAGES[cfg.stage].is_run
    state = run_state(directory).state
    would, why = _would(cfg, directory, own, state)
    return PlannedRun(
        name=directory.name,
        hash=own,
        directory=directory,
        overrides=tuple(overrides),
        state=state,
        would=would,
        why=why,
        at=reached(directory) if would in ("resume", "wait") and is_run else 0,
        iterations=most_iterations(cfg) if is_run else 0,
        stages=tuple(stages),
    )


def _would(cfg: Config, directory: Path, own: str, state: str) -> tuple[Would, str]:
    manifest = {} if manifest_damage(directory) else read_json(directory / "manifest.json")
    if manifest:
        if reason := other_version(directory):
            return "be refused", reason
        if manifest.get("hash", own) != own:
            return "be refused", f"{directory} belongs to another config (hash {manifest['hash']})"
        if reason := changes(directory, cfg):
            return "be refused", reason
    if is_finished(directory):
        return ("nothing" if is_complete(directory) else "mend"), ""
    if state == "running":
        return "wait", ""
    return ("resume" if manifest or reached(directory) else "start"), ""


def reached(directory: Path) -> int:
    """The iteration that a run which was cut goes on from, by the names of its checkpoints that
    have their digests; no more than it has recorded."""
    names = (path.stem.rpartition("-")[2] for path in _checkpoints(directory))
    numbers = [int(name) for name in names if name.isdecimal()]
    last = last_row(directory / METRICS).get("iteration", 0)
    return max((number for number in numbers if number <= last), default=0)


def _checkpoints(directory: Path) -> list[Path]:
    there = (directory / "checkpoints").glob("iteration-*.ckpt")
    return [path for path in there if path.with_suffix(".sha256").exists()]

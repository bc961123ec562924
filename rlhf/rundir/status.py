"""status.json, and how a run stands, for whoever looks on from outside.

One vocabulary wherever runs are listed: the tables of a sweep, `rlhf compare --status`, reports and
`runs.csv`, `rlhf reproduce`.

    not started   it has written no status, and nobody is at work on its sweep
    waiting       its sweep is at work and has not come to it
    running       its process lives, or is on another machine and its status does not say otherwise
    finished      its summary is there
    failed        it raised, or was killed under its sweep's eyes
    time limit    its own or its sweep's time limit passed: it was asked to stop, or killed
    stopped       by a signal, its state saved
    cut           it was at work, and its process is gone without a word
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlhf.rundir.disk.owner import is_alive, this_process
from rlhf.rundir.disk.sealed import read_sealed, write_sealed
from rlhf.rundir.errors import Stopped
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_message

log = logging.getLogger(__name__)

State = Literal[
    "not started", "waiting", "running", "finished", "failed", "time limit", "stopped", "cut"
]
ENDED = ("finished", "failed", "time limit", "stopped")
FINISHED: dict[str, Any] = {"state": "finished", "exit_code": 0}
STATUS = "status.json"
LAUNCHER = "launcher.json"  # in a sweep's directory: its parent process and how each job stands


def write_status(directory: Path, *, state: str, **details: Any) -> None:
    """state: running, finished, failed, stopped or time limit. Details that are not given stay as
    they were, but for `title`, what people call the stage, which is gone with an older stage."""
    untitled = {"title": None} if "stage" in details else {}
    details = {**read_status(directory), "error": None, **untitled, **details, "state": state}
    status = {**details, **this_process(), "time": time.time()}
    write_sealed(directory / STATUS, status)


@contextmanager
def recorded_end(directory: Path) -> Iterator[None]:
    """Says in status.json how what happens inside ended: finished, stopped by a signal or a time
    limit, or failed and why. What ended it is raised, also where the disk takes no status any
    more; a run that had its summary by then is finished."""
    try:
        yield
    except (Exception, Stopped, KeyboardInterrupt) as error:
        _try_status(directory, **(FINISHED if is_finished(directory) else _ended_by(error)))
        raise
    write_status(directory, **FINISHED)


def _ended_by(error: BaseException) -> dict[str, Any]:
    if isinstance(error, (Stopped, KeyboardInterrupt)):
        state, code = getattr(error, "state", "stopped"), getattr(error, "exit_code", 130)
        return {"state": state, "exit_code": code}
    words = redact_message(f"{type(error).__name__}: {error}")
    return {"state": "failed", "error": words, "exit_code": getattr(error, "exit_code", 1)}


def _try_status(directory: Path, **status: Any) -> None:
    try:
        write_status(directory, **status)
    except OSError as error:
        log.error("%s", error)


def read_status(directory: Path) -> dict[str, Any]:
    return read_sealed(directory / STATUS)


@dataclass(frozen=True, kw_only=True)
class SweepLauncher:
    """The content of launcher.json: only the parent knows of some jobs how they ended."""

    parent: int | None  # the process that runs the jobs, if it is at work
    jobs: dict[str, dict[str, Any]]


def read_launcher(directory: Path) -> SweepLauncher:
    """Of a sweep's directory; one that knows nothing where there is no launcher.json."""
    written = read_json(directory / LAUNCHER)
    at_work = written.get("working") and is_alive(written) is not False
    return SweepLauncher(
        parent=written.get("pid") if at_work else None, jobs=written.get("jobs", {})
    )


@dataclass(frozen=True, kw_only=True)
class RunState:
    directory: Path
    state: State
    exit_code: int | None = None
    status: dict[str, Any] = field(default_factory=dict)  # of status.json, while it counts

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"


def is_finished(directory: Path) -> bool:
    """True if the directory holds a run that ended by itself."""
    return read_json(directory / "summary.json").get("status") == "finished"


def run_state(directory: Path, launcher: SweepLauncher | None = None) -> RunState:
    """The state of the run in this directory, by its own files and by its sweep's launcher.

    Args:
        launcher: read from the directory above where it is not given.
    """
    launcher = launcher or read_launcher(directory.parent)
    known, status = launcher.jobs.get(directory.name, {}), read_status(directory)
    state, code = status.get("state", "not started"), status.get("exit_code")
    if is_finished(directory):
        state, code = "finished", 0
    elif launcher.parent is not None and known.get("state") in ("waiting", "running"):
        state, code = known["state"], None
        status = {} if state == "waiting" else status
    elif state == "running" and is_alive(status) is not False:
        code = None
    elif known.get("state") in ENDED:
        state, code = known["state"], known.get("exit_code")
    elif state == "running":
        state, code = "cut", None
    elif state == "not started" and launcher.parent is not None:
        state = "waiting"
    return RunState(directory=directory, state=state, exit_code=code, status=status)


def sweep_jobs(directory: Path, launcher: SweepLauncher | None = None) -> list[RunState]:
    """Every job of a sweep's sweep.json, and every other run that lies in its directory."""
    launcher = launcher or read_launcher(directory)
    named = [str(job["name"]) for job in read_json(directory / "sweep.json").get("jobs", ())]
    others = sorted(path.parent.name for path in directory.glob("*/status.json"))
    return [run_state(directory / name, launcher) for name in dict.fromkeys([*named, *others])]

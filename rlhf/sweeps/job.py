"""A job of a sweep, what became of it, and the two lists of them in the sweep's directory:
sweep.json, and launcher.json for those who look on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhf.config import naming
from rlhf.config.schema import Config
from rlhf.rundir import status
from rlhf.rundir.disk.owner import this_process
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.files import write_json
from rlhf.rundir.lock import owned
from rlhf.rundir.read import last_lines, read_json
from rlhf.rundir.secrets.redact import redact_override
from rlhf.rundir.signals import STOPPING

State = status.State | Literal["finished before"]  # under an earlier command
GOOD = ("finished", "finished before")
BAD = ("failed", "time limit", "stopped")
STOP_CODES = (130, 143, *(-getattr(signal, name) for name in STOPPING if hasattr(signal, name)))


@dataclass(frozen=True, kw_only=True)
class Job:
    name: str
    directory: Path
    plain: dict[str, Any]  # the resolved config
    overrides: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"

    @property
    def devices(self) -> int:
        """The devices that it trains on."""
        return int(self.plain.get("trainer", {}).get("devices", 1))


@dataclass
class Outcome:
    job: Job
    state: State = "waiting"
    exit_code: int | None = None
    seconds: float = 0.0
    overdue: bool = False  # its time limit passed while it ran
    error: str = ""  # why it could not even be started

    def end(self, exit_code: int | None, seconds: float) -> None:
        self.exit_code, self.seconds = exit_code, seconds
        if exit_code == 0:
            self.state = "finished"
        else:
            self.state = (
                "time limit" if self.overdue else "stopped" if exit_code in STOP_CODES else "failed"
            )

    @property
    def ended(self) -> str:
        """How it ended, in words: `exit 1`, `SIGKILL`."""
        if self.exit_code is None:
            return ""
        if self.exit_code < 0:
            names = {int(number): number.name for number in signal.Signals}
            return names.get(-self.exit_code, f"signal {-self.exit_code}")
        return f"exit {self.exit_code}"

    @property
    def last_line(self) -> str:
        """Why it could not be started, or the last line of its log that says something."""
        return self.error or next(iter(last_lines(self.job.log, 1)), "")

    @property
    def sentence(self) -> str:
        """Of one that did not finish: `kl0: failed (exit 1): ValueError: no; see
        sweeps/s/kl0/log.txt`."""
        why = f": {self.last_line}" if self.last_line else ""
        return f"{self.job.name}: {self.state} ({self.ended}){why}; see {self.job.log}"


class JobFailed(RuntimeError):
    """Raised to a sweeper that asks for the result of a job that has none."""


Watch = Callable[[Sequence[Outcome]], object]  # called whenever something may have changed


def job_of(cfg: Config, overrides: Sequence[str], sweep_directory: Path) -> Job:
    """The job's directory and the config it will find there: the sweep's name and its own place
    filled in."""
    directory = naming.run_directory(sweep_directory / cfg.paths.run_name, cfg.rerun)
    plain = {**cfg.plain(), "sweep": sweep_directory.name}
    plain["paths"] = {
        **plain["paths"],
        "run_name": directory.name,
        "run_dir": str(directory),
        "sweep_dir": str(sweep_directory),
    }
    return Job(name=directory.name, directory=directory, plain=plain, overrides=tuple(overrides))


def write_sweep(
    directory: Path, jobs: Sequence[Job], *, study: str, overrides: Sequence[str]
) -> None:
    """sweep.json: the command and its jobs, with those that an earlier command put there.
    Without secrets."""

    def clean(lines: Sequence[str]) -> list[str]:
        return list(map(redact_override, lines))

    path = directory / "sweep.json"
    before = read_json(path)
    entries = {entry["name"]: entry for entry in before.get("jobs", ())}
    entries |= {job.name: {"name": job.name, "overrides": clean(job.overrides)} for job in jobs}
    write_json(
        path,
        {
            "name": directory.name,
            "study": study,
            "overrides": clean(overrides),
            **({"flags": before["flags"]} if "flags" in before else {}),
            "jobs": list(entries.values()),
        },
    )


def note_flags(directory: Path, flags: Sequence[str]) -> None:
    """Adds the options of the command to sweep.json, where it has come so far: with them the same
    words make the same sweep. Not while another command is at work on it, which may add jobs."""
    path = directory / "sweep.json"
    if path.exists():
        with suppress(RunFailed), owned(directory):
            if noted := read_json(path):  # one that is damaged stays for whoever can mend it
                write_json(path, {**noted, "flags": list(flags)})


class Ledger:
    """launcher.json: who runs the sweep and how each job stands, which only the parent knows of a
    job that was killed. Writes the file whenever a job's state has changed, then calls the
    watch `inner`. Jobs that ended under earlier commands stay in it.

    Made by the process that owns the sweep: what an earlier parent had running or waiting is left
    out.
    """

    def __init__(
        self, directory: Path, inner: Watch | None = None, forget: Collection[str] = ()
    ) -> None:
        self.path, self.inner = directory / status.LAUNCHER, inner
        self.jobs: dict[str, Any] = {
            name: job
            for name, job in read_json(self.path).get("jobs", {}).items()
            if job.get("state") in (*GOOD, *BAD) and name not in forget
        }
        self.written: dict[str, Any] | None = None

    def update(self, outcomes: Sequence[Outcome]) -> None:
        self.jobs |= {
            o.job.name: {"state": o.state, "exit_code": o.exit_code, "seconds": round(o.seconds, 1)}
            for o in outcomes
        }
        if self.jobs != self.written:
            self.write(working=True)
        if self.inner is not None:
            self.inner(outcomes)

    def write(self, *, working: bool) -> None:
        """A full disk stops no sweep: the file is for onlookers only, and is tried again at the
        next look."""
        try:
            write_json(
                self.path,
                {
                    **this_process(),
                    "time": time.time(),
                    "working": working,
                    "jobs": self.jobs,
                },
            )
            self.written = dict(self.jobs)
        except OSError:
            self.written = None

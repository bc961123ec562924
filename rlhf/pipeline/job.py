"""A job of a sweep, and what became of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhf.rundir.look import last_lines

State = Literal["waiting", "running", "finished", "finished before", "failed", "time limit", "stopped", "not started"]
STOP_CODES = (130, 143, -signal.SIGTERM, -signal.SIGINT)


@dataclass(frozen=True, kw_only=True)
class Job:
    name: str
    directory: Path
    plain: dict[str, Any]  # the resolved config
    overrides: tuple[str, ...] = ()

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"


@dataclass
class Outcome:
    job: Job
    state: State = "waiting"
    exit_code: int | None = None
    seconds: float = 0.0
    overdue: bool = False  # its time limit passed while it ran

    def end(self, exit_code: int | None, seconds: float) -> None:
        self.exit_code, self.seconds = exit_code, seconds
        if exit_code == 0:
            self.state = "finished"
        else:
            self.state = "time limit" if self.overdue else "stopped" if exit_code in STOP_CODES else "failed"

    @property
    def ended(self) -> str:
        """How, in words: `exit 1`, `SIGKILL`."""
        if self.exit_code is None:
            return ""
        if self.exit_code < 0:
            return signal.Signals(-self.exit_code).name
        return f"exit {self.exit_code}"

    @property
    def last_line(self) -> str:
        """The last line of the job's log that says something."""
        return next(iter(last_lines(self.job.log, 1)), "")

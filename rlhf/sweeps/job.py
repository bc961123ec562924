"""A job of a sweep, and what became of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhf.sweeps.state import last_lines

State = Literal[
    "waiting",
    "running",
    "finished",
    "finished before",
    "failed",
    "time limit",
    "stopped",
    "not started",
]
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
    error: str = ""  # why it could not even be started

    def end(self, exit_code: int | None, seconds: float) -> None:
        self.exit_code, self.seconds = exit_code, seconds
        if exit_code == 0:
            self.state = "finished"
        else:
            self.state = (
                "time limit" if self.overdue else "stopped" if exit_code in STOP_CODES else "failed"
            )

    def fail(self, error: str) -> None:
        """It has no process, and maybe no log."""
        self.state, self.exit_code, self.error = "failed", 1, error

    @property
    def ended(self) -> str:
        """How, in words: `exit 1`, `SIGKILL`."""
        if self.exit_code is None:
            return ""
        if self.exit_code < 0:
            known = {int(number): number.name for number in signal.Signals}
            return known.get(-self.exit_code, f"signal {-self.exit_code}")
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

"""launcher.json in a sweep's directory: who runs it and how each job stands, for those who look on
(`rlhf-compare --status`).

Only the parent knows of some jobs how they ended: one killed writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from rlhf.rundir.files import write_json
from rlhf.rundir.read import read_json
from rlhf.rundir.status import LAUNCHER, this_process
from rlhf.sweeps.job import BAD, GOOD, Outcome, Watcher


class Ledger:
    """A watcher before another: writes the file whenever a job's state has changed. Jobs that ended
    under earlier commands stay in it.

    Made by the process that owns the sweep: what an earlier parent had running or waiting is left
    out.
    """

    def __init__(self, directory: Path, inner: Watcher | None = None) -> None:
        self.path, self.inner = directory / LAUNCHER, inner
        known = read_json(self.path).get("jobs", {})
        self.jobs: dict[str, Any] = {
            name: job for name, job in known.items() if job.get("state") in (*GOOD, *BAD)
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
            self.inner.update(outcomes)

    def forget(self, names: Collection[str]) -> None:
        self.jobs = {name: job for name, job in self.jobs.items() if name not in names}

    def write(self, *, working: bool) -> None:
        """A full disk stops no sweep: the file is for onlookers only, and is tried again at the
        next look."""
        try:
            write_json(
                self.path,
                {**this_process(), "time": time.time(), "working": working, "jobs": self.jobs},
            )
            self.written = dict(self.jobs)
        except OSError:
            self.written = None

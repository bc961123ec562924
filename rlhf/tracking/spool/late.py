"""What an earlier command could not deliver to a service: delivered without a training beside
it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import Timeout

from rlhf.rundir.secrets.redact import sentence
from rlhf.rundir.status import RunState, run_state
from rlhf.tracking.base import Status
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.spool.sink import Sink
from rlhf.tracking.state import mend, read_own

log = logging.getLogger("rlhf.tracking")
_STATUS: dict[str, Status] = {"finished": "FINISHED", "failed": "FAILED"}  # all else: KILLED


def owes(directory: Path, kind: type[Sink]) -> bool:
    """Whether the directory was tracked there and the service has not taken all of it, or has it no
    longer. A copy owes nothing. Imports no library of a service."""
    return _is_owed(read_own(directory, kind.file), kind)


def _is_owed(state: Mapping[str, Any], kind: type[Sink]) -> bool:
    return bool(state) and (state.get("closed") is None or kind.lost(state))


def deliver_late(directory: Path, kind: type[Sink]) -> str | None:
    """Deliver what is owed, and close the run. Returns a sentence if that is not possible now.

    The run's status is the one it ended with, or that of status.json; a run whose process is gone
    without a word is KILLED.
    """
    mend(directory, kind.file)
    if not owes(directory, kind):
        return None
    run = run_state(directory)
    if run.state == "running":
        return f"{directory} is still running."
    sink = kind(directory, read_own(directory, kind.file))
    try:
        delivery = Delivery(sink)
        try:
            delivery.hold()
            sink.state.update(read_own(directory, kind.file))  # what others noted until now
            if _is_owed(sink.state, kind):
                _deliver(delivery, run)
        finally:
            delivery.release()
    except Timeout:
        return f"{directory} is being delivered by another process."
    except Exception as error:  # of any library below
        return f"{sink.label} did not take all of {directory} ({reason_of(error)})."
    return None


def _deliver(delivery: Delivery, run: RunState) -> None:
    state = delivery.state
    if state.get("closed"):
        log.warning("%s has lost %s, which is delivered again", delivery.sink.label, run.directory)
        state["closed"] = None
    # by a signal that let it write nothing down
    killed = run.state == "failed" and int(run.exit_code or 0) < 0
    ended = state.get("ended") or {
        "status": "KILLED" if killed else _STATUS.get(run.state, "KILLED"),
        "time": round(float(run.status.get("time") or time.time()) * 1000),
    }
    delivery.advance(resume=False)
    delivery.close(ended["status"], ended["time"])


def reason_of(error: Exception) -> str:
    """The database's own words, where SQLAlchemy puts its advice before them."""
    of_database = re.search(r"^\(sqlite3\.\w+\) (.+)$", str(error), re.MULTILINE)
    return of_database[1] if of_database else sentence(error)

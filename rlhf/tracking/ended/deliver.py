"""Directories that MLflow has not all of, of runs that have ended: delivered without a training
beside it."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path

from filelock import Timeout

from rlhf.rundir.paths.points import points_of
from rlhf.rundir.read import read_json
from rlhf.rundir.secrets.redact import redact_text, sentence
from rlhf.rundir.status import run_state
from rlhf.tracking.base import Status
from rlhf.tracking.delivery import Delivery
from rlhf.tracking.state import lost, read_own

log = logging.getLogger("rlhf.tracking")
_STATUS: dict[str, Status] = {"finished": "FINISHED", "failed": "FAILED"}  # all else: KILLED


def pending(directory: Path) -> bool:
    """Whether the directory was tracked and MLflow has not taken all of it, or has it no longer. A
    copy owes nothing. Imports no MLflow."""
    state = read_own(directory)
    return bool(state) and (state.get("closed") is None or lost(state))


def deliver(directory: Path) -> str | None:
    """Deliver what an earlier command could not, and close the run. Returns a sentence if that is
    not possible now.

    The run's status is the one it ended with, or that of status.json; a run whose process is gone
    without a word is KILLED.
    """
    if not pending(directory):
        return None
    run = run_state(directory)
    if run.state == "running":
        return f"{directory} is still running."
    delivery = Delivery(directory, read_own(directory))
    if delivery.state.get("closed"):
        log.warning("%s has lost %s, which is delivered again", delivery.state["uri"], directory)
        delivery.state["closed"] = None
    # by a signal that let it write nothing down
    killed = run.state == "failed" and int(run.exit_code or 0) < 0
    ended = delivery.state.get("ended") or {
        "status": "KILLED" if killed else _STATUS.get(run.state, "KILLED"),
        "time": round(float(run.status.get("time") or time.time()) * 1000),
    }
    try:
        delivery.advance(resume=False)
        delivery.close(ended["status"], ended["time"])
    except Timeout:
        return f"{directory} is being delivered by another process."
    except Exception as error:  # of any library below
        return (
            f"MLflow at {redact_text(delivery.state['uri'])} did not take all of {directory}"
            f" ({reason_of(error)})."
        )
    finally:
        delivery.release()
    return None


def deliver_all(directory: Path) -> str | None:
    """The same of a run's directory, of its points where it is a path, and of the stages that it
    stands on, or that it is. Returns a sentence if something could not be delivered; the rest is
    then not tried."""
    manifest, summary = (read_json(directory / f"{name}.json") for name in ("manifest", "summary"))
    root = manifest.get("config", {}).get("paths", {}).get("artifacts")
    prints = {**manifest.get("fingerprints", {}), **summary.get("fingerprints", {})}
    stages = [Path(root) / stage / own for stage, own in prints.items()] if root else []
    return next(filter(None, map(deliver, (*stages, *points_of(directory), directory))), None)


def reason_of(error: Exception) -> str:
    """The database's own words, where SQLAlchemy puts its advice before them."""
    of_database = re.search(r"^\(sqlite3\.\w+\) (.+)$", str(error), re.MULTILINE)
    return of_database[1] if of_database else sentence(error)

"""MLflow behind a thread of its own: the training thread writes files and rings a bell, nothing
more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import Timeout

from rlhf.rundir.redact import redact_text, sentence
from rlhf.rundir.status import run_state
from rlhf.tracking.base import Dataset, Status
from rlhf.tracking.delivery import Delivery
from rlhf.tracking.state import open_state, read_state
from rlhf.tracking.store import absolute_uri

log = logging.getLogger("rlhf.tracking")
LONGEST_PAUSE = 60.0  # seconds between two tries to reach a server that does not answer
_STATUS: dict[str, Status] = {"finished": "FINISHED", "failed": "FAILED"}  # all else: KILLED


class MLflowTracker:
    """Follows run directories into an experiment of an MLflow store, one after another.

    Args:
        nested: puts the runs of a sweep below its summary run.

    Raises:
        ValueError: the address is none that MLflow can store runs at.
    """

    def __init__(self, uri: str, experiment: str, nested: bool = False) -> None:
        self.uri, self.experiment, self.nested = absolute_uri(uri), experiment, nested
        self._delivery: Delivery | None = None
        self._thread: threading.Thread | None = None

    def begin(
        self,
        directory: Path,
        *,
        name: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        datasets: Sequence[Dataset] = (),
    ) -> None:
        if self._thread is not None:
            raise RuntimeError("finish the run that is followed before another begins")
        self._delivery = Delivery(
            directory,
            open_state(
                directory,
                uri=self.uri,
                experiment=self.experiment,
                name=name,
                params=params,
                tags=tags,
                datasets=datasets,
                nested=self.nested,
            ),
        )
        self._bell, self._done = threading.Event(), False
        self._status: Status | None = None
        self._error: Exception | None = None
        self._bell.set()
        self._thread = threading.Thread(
            target=self._follow,
            name="rlhf-tracking",
            args=(self._delivery, self._bell),
            daemon=True,
        )
        self._thread.start()

    def notify(self) -> None:
        if self._thread is not None:
            self._bell.set()

    def finish(self, status: Status, *, timeout: float = 20.0) -> str | None:
        thread, delivery = self._thread, self._delivery
        if thread is None or delivery is None:
            return None
        self._status = status
        self._bell.set()
        thread.join(timeout)
        self._thread = None
        if self._done:
            return None
        delivery.abandon(status)
        why = sentence(self._error) if self._error else f"not done after {timeout:g} s"
        return (
            f"MLflow at {redact_text(self.uri)} did not take all of {delivery.directory} ({why}). "
            "Everything is in that directory; the same command again delivers the rest."
        )

    def _follow(self, delivery: Delivery, bell: threading.Event) -> None:
        """Deliver whenever the bell rings; after an error wait longer each time; at the end try
        once more, twice if all was well."""
        failures, next_try, last_tries = 0, 0.0, 2
        while not delivery.abandoned.is_set():
            bell.wait(None if not failures else max(next_try - time.monotonic(), 0.01))
            bell.clear()
            status = self._status
            if status is None and time.monotonic() < next_try:
                continue
            try:
                delivery.advance()
                if status is not None:
                    delivery.close(status)
                    self._done = True
                    break
                failures, next_try, self._error = 0, 0.0, None
            except Exception as error:  # of any library below: tracking never ends a run
                self._error = error
                failures += 1
                next_try = time.monotonic() + min(2.0**failures, LONGEST_PAUSE)
                if failures == 1:
                    log.info(
                        "MLflow at %s does not answer; what is new waits in %s",
                        redact_text(self.uri),
                        delivery.directory,
                    )
                if status is not None:
                    last_tries -= 1
                    if last_tries == 0 or failures > 1:
                        break
                    bell.set()
        delivery.release()


def pending(directory: Path) -> bool:
    """Whether the directory was tracked and MLflow has not taken all of it. Imports no MLflow."""
    state = read_state(directory)
    return bool(state) and state.get("closed") is None


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
    delivery = Delivery(directory, read_state(directory))
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
            f" ({sentence(error)})."
        )
    finally:
        delivery.release()
    return None

"""A service behind a thread of its own: the training thread writes files and rings a bell, nothing
more."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from filelock import Timeout

from rlhf.tracking.base import Status, Tracker
from rlhf.tracking.ended.queue import Ended
from rlhf.tracking.spool.delivery import Delivery
from rlhf.tracking.spool.late import deliver_late, reason_of
from rlhf.tracking.spool.sink import Sink
from rlhf.tracking.state import read_own
from rlhf.tracking.system import sampler

log = logging.getLogger("rlhf.tracking")
REPORT_EVERY = 10.0  # seconds between two lines on what is waited for
PACE = 2.0  # seconds between two batches of a run that goes on: one batch may have many iterations
POLL = 0.5  # seconds between two looks at what moves
LONGEST_PAUSE = 60.0  # seconds between two tries to reach a server that does not answer


class Follower(Tracker):
    """Follows run directories into a service, one after another. A subclass names the service and
    opens its state.

    Args:
        system_metrics: seconds between two looks at the machine; None: it is not looked at.
    """

    sink: ClassVar[type[Sink]]

    def __init__(self, system_metrics: float | None = None) -> None:
        self.system_metrics = system_metrics
        self._delivery: Delivery | None = None
        self._thread: threading.Thread | None = None
        self._ended = self._queue()

    def opened(self, directory: Path, **shown: Any) -> dict[str, Any]:
        """The directory's state, with what this start says of the run. Asks no service."""
        raise NotImplementedError

    def _queue(self) -> Ended:
        return Ended(partial(deliver_late, kind=self.sink))

    def add(self, directory: Path, **shown: Any) -> None:
        waits = self._ended.has(directory)
        state = read_own(directory, self.sink.file)
        if not (waits and state):  # else it is the other thread's to write
            if state.get("closed") is not None:
                return
            self.opened(directory, **shown)
        self._ended.add(directory)

    def begin(self, directory: Path, **shown: Any) -> None:
        if self._thread is not None:
            raise RuntimeError("finish the run that is followed before another begins")
        self._delivery = Delivery(self.sink(directory, self.opened(directory, **shown)))
        self._ended = self._queue()
        self._bell, self._ending, self._done = threading.Event(), threading.Event(), False
        self._status: Status | None = None
        self._error: Exception | None = None
        if self.system_metrics and self.sink.takes_system:
            sampler.start(directory, self.system_metrics)
        self._bell.set()
        self._thread = threading.Thread(
            target=self._follow,
            name="rlhf-tracking",
            args=(self._delivery, self._bell, self._ending),
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
        if self.system_metrics and self.sink.takes_system:
            sampler.stop(delivery.directory)
        self._status = status
        self._ended.close(timeout)
        self._bell.set()
        self._ending.set()
        self._wait(thread, delivery, timeout)
        self._thread = None
        if self._done:
            return None
        delivery.abandon(status)
        why = reason_of(self._error) if self._error else f"nothing moved for {timeout:g} s"
        return (
            f"{delivery.sink.label} did not take all of {delivery.directory} ({why}). "
            "Everything is in that directory; the same command again delivers the rest."
        )

    def _wait(self, thread: threading.Thread, delivery: Delivery, timeout: float) -> None:
        """Until all is delivered or nothing moves, with a line now and then. Whoever stops a run
        wants its end: that waits by the clock."""
        moved = reported = time.monotonic()
        before: object = None
        while thread.is_alive() and (moment := time.monotonic()) - moved < timeout:
            state = delivery.progress(), _work_of(thread)
            if state != before and (before is None or self._status != "KILLED"):
                moved, before = moment, state
            if moment - reported > REPORT_EVERY:
                reported = moment
                log.warning(
                    "waiting for %s: it has %s of %s",
                    *(delivery.sink.label, delivery.waiting, delivery.directory),
                )
            thread.join(min(POLL, timeout))

    def _follow(self, delivery: Delivery, bell: threading.Event, ending: threading.Event) -> None:
        """Deliver whenever the bell rings; after an error wait longer each time; at the end try
        once more, twice if all was well."""
        failures, next_try, last_tries, before = 0, 0.0, 2, delivery.progress()
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
                before = delivery.progress()
                ending.wait(PACE)
            except Exception as error:  # of any library below: tracking never ends a run
                self._error = error
                failures += 1
                next_try = time.monotonic() + min(2.0**failures, LONGEST_PAUSE)
                if failures == 1:
                    label = delivery.sink.label
                    log.info(
                        "%s does not answer; what is new waits in %s", label, delivery.directory
                    )
                if status is not None:
                    # a store that others write to may only be busy
                    last_tries -= not _busy(error) or delivery.progress() == before
                    before = delivery.progress()
                    if last_tries <= 0 or (failures > 1 and last_tries < 2):
                        break
                    delivery.abandoned.wait(POLL)
                    bell.set()
        delivery.release()


def _busy(error: Exception) -> bool:
    """Whether the store may take it a little later. MLflow calls a full disk unavailable for the
    time being, too, and each try leaves traces on it that look like movement."""
    if re.search("disk is full|disk I/O|readonly database", str(error)):
        return False
    return isinstance(error, (Timeout, sqlite3.OperationalError)) or (
        getattr(error, "error_code", "") == "TEMPORARILY_UNAVAILABLE"
    )


def _work_of(thread: threading.Thread) -> int | None:
    """Tenths of a second that a processor has worked for the thread, None where the system does
    not say: an import or a migration moves nothing that others see."""
    try:
        stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    except OSError:
        return None
    user, system = stat.rpartition(")")[2].split()[11:13]
    return 10 * (int(user) + int(system)) // os.sysconf("SC_CLK_TCK")

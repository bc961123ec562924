"""How a run is asked to stop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlhf.rundir.errors import Stopped
from rlhf.rundir.signals import STOPPING, Stop, alarm_after, raising
from rlhf.rundir.words import seconds_of

log = logging.getLogger(__name__)


@contextmanager
def stoppable(directory: Path, time_limit: object) -> Iterator[None]:
    """Outside of training loops (which have a gentler way) a signal, or the end of the time limit
    (see `seconds_of`), ends the run at once; all that was reached is on disk.

    Raises:
        Stopped: wherever the process stands when one comes.
    """
    stop = Stop()

    def end(number: int) -> Stopped | None:
        return Stopped(number, str(directory)) if stop.note(number) else None

    with raising(STOPPING, end), alarm_after(seconds_of(time_limit)) as kept:
        if not kept:
            log.warning("time_limit=%s is not kept: alarms are somebody else's here", time_limit)
        yield

"""How a run is asked to stop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rlhf.rundir.errors import Stopped
from rlhf.rundir.signals import STOPPING, Stop, alarm_after, handled
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

    def leave(number: int, frame: FrameType | None) -> None:
        if stop.note(number):
            raise Stopped(number, str(directory))

    with handled(STOPPING, leave), alarm_after(seconds_of(time_limit)) as kept:
        if not kept:
            log.warning("time_limit=%s is not kept: alarms are somebody else's here", time_limit)
        yield

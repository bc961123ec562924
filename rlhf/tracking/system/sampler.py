"""A thread that looks at the machine now and then and writes it to `system.jsonl` in the run's
directory, from where it is delivered as metrics are. Several trackers of a run share one."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from rlhf.rundir.files import append_jsonl, write_bytes
from rlhf.rundir.read import Lines, last_row
from rlhf.tracking.system.sample import FILE, Machine

log = logging.getLogger("rlhf.tracking")
FIRST = 1.0  # seconds until the first look; then twice as long each time, up to what was asked for
SHORTEST = 0.1  # seconds: of less the share of processors says nothing


class Sampler:
    """Each look has a number that goes on where an earlier start of the run stopped."""

    def __init__(self, directory: Path, every: float) -> None:
        self.directory, self.every, self.users = directory, every, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rlhf-system", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            path, machine = self.directory / FILE, Machine(self.directory)
            _drop_half_a_line(path)
            number = _last(path) + 1
            pause, ended = min(FIRST, self.every), False
            while not ended:
                looked = time.monotonic()
                ended = self._stop.wait(pause)
                pause = min(2 * pause, self.every)
                if time.monotonic() - looked < SHORTEST:
                    continue
                values = machine.look()
                append_jsonl(path, [{"sample": number, "time": time.time(), **values}])
                number += 1
        except Exception as error:  # of psutil, or a full disk: never the run's concern
            log.info("the machine is not looked at any more: %s", error)

    def stop(self) -> None:
        """After a last look."""
        self._stop.set()
        self._thread.join(2.0)


def _last(path: Path) -> int:
    """The number of the last look in the file, -1 where there is none. Of a damaged line no less
    than it can have been: a number that is given twice would not be delivered."""
    last = last_row(path).get("sample")
    if isinstance(last, int) or not path.is_file():
        return last if isinstance(last, int) else -1
    numbers = [row.get("sample") for row in Lines(path).read()]
    lines = path.read_bytes().count(b"\n")
    return max(lines - 1, *(number for number in numbers if isinstance(number, int)), -1)


def _drop_half_a_line(path: Path) -> None:
    """What a kill left at the file's end."""
    if path.is_file():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            write_bytes(path, data[: data.rfind(b"\n") + 1])


_running: dict[Path, Sampler] = {}
_lock = threading.Lock()


def start(directory: Path, every: float) -> None:
    """Has the machine looked at every so many seconds, or as often as another tracker asks, for one
    more tracker. Returns at once."""
    with _lock:
        if directory not in _running:
            _running[directory] = Sampler(directory, every)
        sampler = _running[directory]
        sampler.every, sampler.users = min(sampler.every, every), sampler.users + 1


def stop(directory: Path) -> None:
    """At the run's end, for one tracker: each waits for the same last look (milliseconds), which it
    delivers."""
    with _lock:
        sampler = _running.get(directory)
        if sampler is None:
            return
        sampler.users -= 1
        if sampler.users == 0:
            del _running[directory]
    sampler.stop()

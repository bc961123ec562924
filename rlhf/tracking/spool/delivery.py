"""Brings one run directory into one run of a service, every iteration once.

The service is asked for the last iteration whenever the two may differ (after a start, after an
error), so that a crash between sending a line and noting it sends nothing twice.
"""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from filelock import FileLock

from rlhf.rundir.read import Lines, number
from rlhf.tracking.spool.sink import Row, Sink
from rlhf.tracking.state import finite, key_of, now, write_state
from rlhf.tracking.system.sample import FILE as SYSTEM

PREFIX = "system/"  # of the machine's metrics: MLflow shows them on a page of their own


def batch(line: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a line of metrics.jsonl; `nonfinite` counts the infinite ones, which are left
    out."""
    metrics = finite({key_of(key): value for key, value in line.items()})
    infinite = sum(number(value) in (math.inf, -math.inf) for value in line.values())
    return metrics | {"nonfinite": float(infinite)} if infinite else metrics


class Delivery:
    """Synchronous: every method may wait for the service and may raise. One at a time for a
    directory and a service, held by a file lock. Nothing is written where the directory has another
    name by now, be there another in its place: a stage is published, a point set aside."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.directory, self.state = sink, sink.directory, sink.state
        self.abandoned = threading.Event()  # set when nobody waits any more: write nothing
        self._writing = threading.Lock()
        lock = self.directory / f".{sink.file.removesuffix('.json')}.lock"
        self._lock = FileLock(lock, thread_local=False)
        self._place = self.directory.stat()
        self._is_open = False
        self._backlog: deque[dict[str, Any]] = deque()
        self._seen: deque[Row] = deque()  # looks at the machine that wait
        self._times: dict[int, int] = {}

    def progress(self) -> tuple[object, ...]:
        """A value that changes while anything is delivered: by us, or by whoever does what we wait
        for."""
        return self.sink.steps, self.sink.moved()

    @property
    def waiting(self) -> str:
        """How much of the run has arrived."""
        path = self.directory / "metrics.jsonl"
        rows = path.read_bytes().count(b"\n") if path.is_file() else 0
        return f"{self.state['delivered'] + 1} of {rows} iterations"

    def hold(self) -> None:
        """Nobody else delivers the directory to this service until `release`.

        Raises:
            Timeout: somebody does.
        """
        if not self._lock.is_locked:
            self._check_place()
            self._lock.acquire(timeout=1)

    def advance(self, *, resume: bool = True) -> None:
        """Deliver the lines that are new. `resume` says that the run goes on."""
        try:
            if not self._is_open:
                self._open(resume)
            self._read()
            while self._backlog and not self.abandoned.is_set():
                rows = self._next()
                self.sink.send(rows)
                self._save(delivered=rows[-1].number)
                for _ in rows:
                    self._backlog.popleft()
            self._send_system()
        except Exception:
            self._is_open = False  # it may have arrived: ask before sending again
            self.sink.drop()
            raise

    def close(self, status: str, ended: int | None = None) -> None:
        """Deliver the end of a run: its final numbers, files and status. Call after `advance`."""
        last = max(self.state["delivered"], 0)
        time = self._times.get(last, self.state["begun"])
        try:
            self.sink.end(status, step=last, time=time, ended=ended or now())
        except Exception:
            self._is_open = False
            self.sink.drop()
            raise
        self._save(copy=True, closed=status)

    def release(self) -> None:
        self._is_open = False
        self.sink.drop()
        self._lock.release()

    def abandon(self, status: str) -> None:
        """Note how the run ended, for whoever delivers the rest: nobody waits any more."""
        with self._writing:
            self.abandoned.set()
            self.state["ended"] = {"status": status, "time": now()}
            write_state(self.directory, self.state, self.sink.file)

    def _open(self, resume: bool) -> None:
        self.hold()
        self._save(copy=True, **self.sink.open(resume=resume))
        self.sink.introduce()
        # read again: it may have less than before
        self._backlog.clear()
        self._seen.clear()
        self._metrics = Lines(self.directory / "metrics.jsonl")
        self._timings = Lines(self.directory / "timings.jsonl")
        self._system = Lines(self.directory / SYSTEM)
        self._is_open = True

    def _save(self, *, copy: bool = False, **changes: Any) -> None:
        with self._writing:
            if self.abandoned.is_set():
                raise RuntimeError("nobody waits for this delivery any more")
            self._check_place()
            self.state.update(changes)
            write_state(self.directory, self.state, self.sink.file, copy=copy)
            self.sink.steps += 1

    def _check_place(self) -> None:
        if not os.path.samestat(self._place, self.directory.stat()):
            raise FileNotFoundError(f"{self.directory} is another than it was")

    def _read(self) -> None:
        for row in self._timings.read():
            if isinstance(row.get("iteration"), int) and (stamp := _stamp(row)):
                self._times[row["iteration"]] = stamp
        newest = self._backlog[-1]["iteration"] if self._backlog else self.state["delivered"]
        for row in self._metrics.read():
            if isinstance(row.get("iteration"), int) and row["iteration"] > newest:
                self._backlog.append(row)
                newest = row["iteration"]
        last = self._seen[-1].number if self._seen else self.state.get("system", -1)
        for row in self._system.read() if self.sink.takes_system else ():
            sample, stamp = row.get("sample"), _stamp(row)
            if isinstance(sample, int) and stamp and sample > last:
                last = sample
                values = {k: v for k, v in row.items() if k not in ("sample", "time")}
                named = {f"{PREFIX}{key_of(k)}": v for k, v in finite(values).items()}
                self._seen.append(Row(number=sample, time=stamp, values=named))

    def _next(self) -> list[Row]:
        """The oldest iterations that wait, as many as the service takes at once: all of them arrive
        or none does."""
        rows: list[Row] = []
        count = 0
        for line in self._backlog:
            metrics, iteration = batch(line), line["iteration"]
            count += len(metrics)
            if rows and count > self.sink.largest:
                break
            stamp = self._times.get(iteration) or now()
            rows.append(Row(number=iteration, time=stamp, values=metrics))
        return rows

    def _send_system(self) -> None:
        while self._seen and not self.abandoned.is_set():
            most = max(1, self.sink.largest // max(1, len(self._seen[0].values)))
            rows = [self._seen[i] for i in range(min(most, len(self._seen)))]
            self.sink.send_system(rows)
            self._save(system=rows[-1].number)
            for _ in rows:
                self._seen.popleft()


def _stamp(row: Mapping[str, Any]) -> int:
    """The row's time in ms; 0 where it has none that can be."""
    seconds = number(row.get("time"))
    return round(seconds * 1000) if seconds and 0 < seconds < math.inf else 0

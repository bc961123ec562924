"""One process a job, N at a time. A job that raises, exits or is killed never stops the others.

Processes are forked from a server that has imported the heavy modules once (`spawn` where there is no fork). Each leads a
session of its own, so a Ctrl-C at the terminal reaches the parent alone, which asks them to stop; if the parent dies they notice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

State = Literal["waiting", "running", "finished", "finished before", "failed", "stopped", "not started"]
POLL = 0.5  # seconds between looks at the running jobs' files
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

    @property
    def ended(self) -> str:
        """How, in words: `exit 1`, `SIGKILL`."""
        if self.exit_code is None:
            return ""
        if self.exit_code < 0:
            return signal.Signals(-self.exit_code).name
        return f"exit {self.exit_code}"

    @property
    def last_line(self) -> str:
        """The last line of the job's log that says something."""
        if not self.job.log.exists():
            return ""
        with self.job.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Watcher(Protocol):
    """Told whenever something may have changed."""

    def update(self, outcomes: Sequence[Outcome]) -> None: ...


class Stop:
    """The signals that came: the first asks the jobs to stop, the second kills them. Shells and wrappers may send one twice at once."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.last = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.signals or time.monotonic() - self.last > 1.0:
            self.signals.append(number)
            self.last = time.monotonic()

    @property
    def exit_code(self) -> int | None:
        """130 for Ctrl-C, 143 for everything else, None if nothing came."""
        return None if not self.signals else 130 if self.signals[0] == signal.SIGINT else 143


@contextmanager
def stop_signals() -> Iterator[Stop]:
    stop = Stop()
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                before[getattr(signal, name)] = signal.signal(getattr(signal, name), stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start_method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def run_jobs(
    jobs: Sequence[Job], target: Callable[[Job], None], n: int, *, preload: Sequence[str] = (), watcher: Watcher | None = None
) -> tuple[list[Outcome], int | None]:
    """Runs `target(job)` for each job in its own process, `n` at a time, output into the job's log.

    Args:
        target: a function of a module (it is pickled by name); its return value is dropped.
        preload: modules that the server imports once.

    Returns:
        An outcome for each job in order, and the exit code that a signal asked for, if one came.
    """
    context = multiprocessing.get_context(start_method())
    if start_method() == "forkserver":
        context.set_forkserver_preload(list(preload))
    outcomes = [Outcome(job) for job in jobs]
    with stop_signals() as stop:
        _supervise(outcomes, target, n, context, stop, watcher)
    return outcomes, stop.exit_code


def _supervise(
    outcomes: list[Outcome], target: Callable[[Job], None], n: int, context: BaseContext, stop: Stop, watcher: Watcher | None
) -> None:
    running: dict[Any, tuple[BaseProcess, Outcome, float]] = {}
    asked = 0
    while True:
        for outcome in outcomes:
            if outcome.state == "waiting" and stop.signals:
                outcome.state = "not started"
            elif outcome.state == "waiting" and len(running) < n:
                process = _start(context, target, outcome)
                running[process.sentinel] = (process, outcome, time.monotonic())
        if watcher is not None:
            watcher.update(outcomes)
        if not running:
            return
        if len(stop.signals) > asked:
            asked = len(stop.signals)
            for process, _, _ in running.values():
                (process.terminate if asked == 1 else process.kill)()
        for sentinel in wait(list(running), timeout=POLL):
            process, outcome, began = running.pop(sentinel)
            process.join()
            _end(outcome, process.exitcode, time.monotonic() - began)


def _start(context: BaseContext, target: Callable[[Job], None], outcome: Outcome) -> BaseProcess:
    outcome.job.directory.mkdir(parents=True, exist_ok=True)
    process: BaseProcess = context.Process(target=_work, args=(target, outcome.job), name=outcome.job.name)  # type: ignore[attr-defined]
    process.start()
    outcome.state = "running"
    return process


def _end(outcome: Outcome, exit_code: int | None, seconds: float) -> None:
    outcome.exit_code, outcome.seconds = exit_code, seconds
    outcome.state = "finished" if exit_code == 0 else "stopped" if exit_code in STOP_CODES else "failed"


def _work(target: Callable[[Job], None], job: Job) -> None:
    """The child: its own session, its log, an eye on the parent, and an exit code for however `target` ends."""
    if hasattr(os, "setsid"):
        os.setsid()
    _redirect(job.log)
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        target(job)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def _redirect(log: Path) -> None:
    """Everything this process and its libraries print goes to the end of its log."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for stream_file in (sys.stdout, sys.stderr):
        stream_file.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}  process {os.getpid()}", flush=True)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

"""One process a job, N at a time. A job that raises, exits or is killed never stops the others.

Processes are forked from a server that has imported the heavy modules once (`spawn` where there is
no fork). Each leads a session of its own, so a Ctrl-C at the terminal reaches the parent alone,
which asks them to stop; if the parent dies they notice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rlhf.rundir.disk.owner import is_alive
from rlhf.rundir.secrets.redact import Redacted
from rlhf.rundir.signals import Stop, end_by_the_clock, release, stop_signals
from rlhf.rundir.status import read_status, write_status
from rlhf.sweeps.job import Job, Outcome, Watch
from rlhf.sweeps.launchers.prepare import least_used
from rlhf.sweeps.launchers.served import serve, start_method

POLL = 0.5  # seconds between looks at the running jobs' files
GRACE = 60.0  # seconds that a job past its time limit has to save its state


def run_jobs(
    jobs: Sequence[Job],
    target: Callable[[Job], None],
    n: int,
    *,
    preload: Sequence[str] = (),
    watch: Watch | None = None,
    gpus: Sequence[str] = (),
    time_limit: float | None = None,
    grace: float = GRACE,
) -> tuple[list[Outcome], int | None]:
    """Runs `target(job)` for each job in its own process, `n` at a time, output into the job's log.

    Args:
        target: a function of a module (it is pickled by name); its return value is dropped.
        preload: modules that the server imports once.
        gpus: each job sees as many of these as it has devices, those with the fewest jobs.
        time_limit: seconds that a job may run; then it is asked to stop, and killed after `grace`
            more.

    Returns:
        An outcome for each job in order, and the exit code that a signal asked for, if one came.
    """
    context = multiprocessing.get_context(start_method())
    serve(preload)
    outcomes = [Outcome(job) for job in jobs]
    with stop_signals() as stop:
        _supervise(outcomes, target, n, context, stop, watch, gpus, (time_limit, grace))
    return outcomes, stop.exit_code


@dataclass
class Running:
    process: BaseProcess
    outcome: Outcome
    gpus: tuple[str, ...]
    began: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        self.process.join()
        status = read_status(self.outcome.job.directory)
        if status.get("state") == "time limit" and status.get("pid") == self.process.pid:
            self.outcome.overdue = True  # by its own `time_limit`
        self.outcome.end(self.process.exitcode, time.monotonic() - self.began)
        _tell_death(self.outcome)

    def hold_to(self, limit: float | None, grace: float) -> None:
        seconds = time.monotonic() - self.began
        if limit is None or seconds < limit:
            return
        if not self.outcome.overdue:
            self.outcome.overdue = True
            self.process.terminate()
        elif seconds > limit + grace:
            self.process.kill()


def _supervise(
    outcomes: list[Outcome],
    target: Callable[[Job], None],
    n: int,
    context: BaseContext,
    stop: Stop,
    watch: Watch | None,
    gpus: Sequence[str],
    limits: tuple[float | None, float],
) -> None:
    running: dict[Any, Running] = {}
    asked = 0
    try:
        while True:
            for outcome in outcomes:
                if outcome.state == "waiting" and stop.signals:
                    outcome.state = "not started"
                elif outcome.state == "waiting" and len(running) < n:
                    in_use = [gpu for job in running.values() for gpu in job.gpus]
                    own = least_used(gpus, in_use, outcome.job.devices)
                    try:
                        process = _start(context, target, outcome, own)
                    # no room on the disk, no more processes: the next one may have better luck
                    except (OSError, EOFError) as error:
                        why = f"it could not be started: {error}"
                        outcome.state, outcome.exit_code, outcome.error = "failed", 1, why
                    else:
                        running[process.sentinel] = Running(process, outcome, own)
            if watch is not None:
                watch(outcomes)
            if not running:
                return
            if len(stop.signals) > asked:
                asked = len(stop.signals)
                for job in running.values():
                    (job.process.terminate if asked == 1 else job.process.kill)()
            for sentinel in wait(list(running), timeout=POLL):
                ended = running.pop(sentinel)
                ended.end()
            for job in running.values():
                job.hold_to(*limits)
    finally:  # whoever unwinds this process (a cluster's warning signal, say) leaves no job behind
        for job in running.values():
            job.process.terminate()
        deadline = time.monotonic() + limits[1]
        for job in running.values():
            job.process.join(max(0.0, deadline - time.monotonic()))
            job.process.kill()  # nothing to one that has ended
            job.process.join()


def _start(
    context: BaseContext, target: Callable[[Job], None], outcome: Outcome, gpus: Sequence[str]
) -> BaseProcess:
    outcome.job.directory.mkdir(parents=True, exist_ok=True)
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=_work, args=(target, outcome.job, gpus), name=outcome.job.name
    )
    process.start()
    outcome.state = "running"
    return process


def _tell_death(outcome: Outcome) -> None:
    """A job that was killed, or left past Python, could not write down its own end."""
    directory = outcome.job.directory
    with suppress(OSError):
        status = read_status(directory)
        if outcome.exit_code and status.get("state") == "running" and is_alive(status) is False:
            write_status(
                directory,
                state="failed",
                error=f"{outcome.state} ({outcome.ended})",
                exit_code=outcome.exit_code,
            )


def _work(target: Callable[[Job], None], job: Job, gpus: Sequence[str]) -> None:
    """The child: its own session, its log, its GPUs, an eye on the parent, and an exit code for
    however `target` ends."""
    if gpus:
        # read when CUDA is first used, which no module does by being imported
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if hasattr(os, "setsid"):
        os.setsid()
    _redirect(job.log)
    release()
    threading.Thread(target=_follow_parent, daemon=True).start()
    try:
        target(job)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        print(traceback.format_exc(), end="", file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    end_by_the_clock(code)
    sys.exit(code)


def _redirect(log: Path) -> None:
    """Everything this process and its libraries print goes to the end of its log."""
    with log.open("ab") as end, open(os.devnull, "rb") as nothing:
        for file, stream in ((end, 1), (end, 2), (nothing, 0)):
            os.dup2(file.fileno(), stream)
    for stream_file in (sys.stdout, sys.stderr):
        stream_file.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stdout, sys.stderr = Redacted(sys.stdout), Redacted(sys.stderr)  # type: ignore[assignment]
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')}  process {os.getpid()}", flush=True)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

"""A sweep whose jobs and whose parent are killed at random moments."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.soak.commands import TRACEBACK, end_of_trace
from benchmarks.soak.scene import AGAIN, SWEEP, Scene
from benchmarks.soak.tries import Try

KILLS = 10  # of one sweep at most
LONGEST = 3.0  # seconds between two kills
PARENT = 1 / 5  # of the kills are the parent's
END = 60.0  # seconds in which the jobs of a killed parent must have ended


def sweep(scene: Scene, this: Try) -> None:
    """Kills of jobs stop no other job, and a killed parent's jobs stop by themselves; the same
    command again completes, and every job is as it ever was."""
    from rlhf.rundir.status import run_state

    rng = scene.rng(this.kind, this.index)
    scene.reference(SWEEP)
    folder = scene.fresh(f"sweep-{this.index}")
    for _ in range(AGAIN):
        command = scene.server.start(folder, SWEEP)
        while command.code is None and len(this.faults) < KILLS:
            command.join(rng.uniform(0, LONGEST))
            jobs = sorted(p.parent for p in folder.glob("sweeps/soak/*/status.json"))
            running = [job for job in jobs if run_state(job).state == "running"]
            if command.code is not None or not running:
                continue
            if rng.random() < PARENT:
                command.signal(signal.SIGKILL)
                this.faults.append("parent killed")
            else:
                state = run_state(rng.choice(running))
                if "pid" not in state.status:  # it has ended since
                    continue
                with suppress(ProcessLookupError):
                    os.kill(state.status["pid"], signal.SIGKILL)
                this.faults.append(f"{state.name} killed")
                this.places.append(f"{state.status.get('stage')} of a job")
        ended = command.wait()
        this.saw(ended)
        if ended.code == -signal.SIGKILL and not _ended(folder):
            this.breaks(f"jobs of a killed parent were at work {END:.0f} s later")
        elif ended.code not in (0, 1, -signal.SIGKILL):
            this.breaks(f"the sweep: exit code {ended.code}: {ended.last_words}")
        if ended.code == 0 or len(this.faults) >= KILLS:
            break
    scene.finish(this, folder, SWEEP)
    _read_logs(this, folder)
    scene.done(folder)


def _ended(folder: Path) -> bool:
    """True once no job of the sweep is at work, False where one still is after a minute."""
    from filelock import FileLock, Timeout

    deadline = time.monotonic() + END
    for lock in folder.glob("sweeps/soak/*/.lock"):
        try:
            with FileLock(lock).acquire(timeout=max(0.1, deadline - time.monotonic())):
                pass
        except Timeout:
            return False
    return True


def _read_logs(this: Try, folder: Path) -> None:
    for log in folder.glob("sweeps/soak/*/log.txt"):
        text = log.read_text(errors="replace")
        if shown := text.count(TRACEBACK):
            this.tracebacks += shown
            this.breaks(f"{shown} tracebacks in {log.relative_to(folder)}: {end_of_trace(text)}")

"""What the launcher's tests run in real processes."""

import os
import signal
import sys
import time
from pathlib import Path

from rlhf.rundir.status import write_status


def finish(job):
    (job.directory / "summary.json").write_text('{"status": "finished"}')


def by_name(job):
    """Does what the job's name says."""
    how = job.plain.get("how", "finish")
    print(f"here is {job.name}")
    if how == "raise":
        raise ValueError("a bad day")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "odd":
        os.kill(os.getpid(), signal.SIGRTMIN + 6)  # it has no name
    if how == "limit":
        write_status(job.directory, state="time limit", exit_code=143)
        sys.exit(143)
    if how == "vanish":
        write_status(job.directory, state="running", stage="ppo")
        os._exit(7)
    finish(job)


def end_by_sigterm(job):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def fail_first(job):
    """With a coefficient of 0 the first try fails."""
    if job.plain["kl"]["coef"] == 0 and not (job.directory / "tried").exists():
        (job.directory / "tried").touch()
        raise ValueError("the first try fails")
    finish(job)


def wait_for_sigterm(job):
    """Saves and leaves with 143 when asked to; else waits a minute."""

    def stop(number, frame):
        for again in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(again, signal.SIG_IGN)
        (job.directory / "saved").write_text(str(os.getpid()))
        sys.exit(143)

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)
    (job.directory / "started").write_text(str(os.getpid()))
    time.sleep(60)


def meet(job):
    """Finishes only when `together` jobs run at once. A job that expects to be alone notes how
    many it saw, and leaves."""
    place, together = Path(job.plain["place"]), job.plain["together"]
    (place / job.name).touch()
    deadline = time.monotonic() + 30
    while len(list(place.iterdir())) < together:
        if time.monotonic() > deadline:
            sys.exit(9)
        time.sleep(0.02)
    if together == 1:
        time.sleep(0.2)
        (job.directory / "seen").write_text(str(len(list(place.iterdir()))))
        (place / job.name).unlink()


def ignore_sigterm(job):
    """Does not stop when asked to; gives up after a minute."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (job.directory / "started").write_text(str(os.getpid()))
    time.sleep(60)


def write_gpu(job):
    (job.directory / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
    meet(job)

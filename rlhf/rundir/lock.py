"""One process a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rlhf.rundir.disk.aside import clear_strays
from rlhf.rundir.disk.space import writing
from rlhf.rundir.errors import RunFailed
from rlhf.rundir.paths.points import FOLDER

PATIENCE = 1.0  # seconds: a command that makes room holds the lock for a moment


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Makes the directory and holds its lock, which falls free when its owner dies. What a dead
    one left half-written there, and in the points of a path, is cleared.

    Raises:
        RunFailed: another process is at work in it, or the disk refuses (DiskError).
    """
    try:
        with writing(directory / ".lock"):
            directory.mkdir(parents=True, exist_ok=True)
            lock = FileLock(directory / ".lock").acquire(timeout=PATIENCE)
    except Timeout:
        raise RunFailed(
            f"another rlhf is at work in {directory}: wait for it, or stop it first"
        ) from None
    with lock:
        for folder in (directory, *directory.glob(f"{FOLDER}/*")):
            clear_strays(folder)
        clear_strays(directory / "checkpoints", alone=True)
        yield

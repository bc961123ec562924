"""One process a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rlhf.rundir.errors import RunFailed


@contextmanager
def owned(directory: Path) -> Iterator[None]:
    """Makes the directory and holds its lock, which falls free when its owner dies.

    Raises:
        RunFailed: another process is at work in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(directory / ".lock").acquire(timeout=0)
    except Timeout:
        raise RunFailed(
            f"another rlhf is at work in {directory}: wait for it, or stop it first"
        ) from None
    with lock:
        yield

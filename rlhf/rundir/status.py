"""status.json: what a run is doing, for whoever looks on from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_json, write_json


def write_status(directory: Path, *, state: str, **details: Any) -> None:
    """state: running, finished, failed or stopped. Details not given stay as they were."""
    before = read_status(directory)
    write_json(directory / "status.json", {**before, "error": None, **details, "state": state, "pid": os.getpid(), "time": time.time()})


@contextmanager
def recorded_end(directory: Path) -> Iterator[None]:
    """Says in status.json how what happens inside ended: finished, stopped by a signal, or failed and why."""
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        write_status(directory, state="stopped", exit_code=getattr(stop, "exit_code", 130))
        raise
    except Exception as error:
        write_status(directory, state="failed", error=f"{type(error).__name__}: {error}", exit_code=1)
        raise
    write_status(directory, state="finished", exit_code=0)


def read_status(directory: Path) -> dict[str, Any]:
    path = directory / "status.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found

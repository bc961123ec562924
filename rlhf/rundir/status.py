"""status.json: what a run is doing, for whoever looks on from outside."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlhf.rundir.errors import Stopped
from rlhf.rundir.files import read_json, write_json


def write_status(directory: Path, *, state: str, **details: Any) -> None:
    """state: running, finished, failed or stopped. Details not given stay as they were."""
    before = read_status(directory)
    write_json(
        directory / "status.json",
        {**before, "error": None, **details, "state": state, **this_process(), "time": time.time()},
    )


def this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def is_alive(written: Mapping[str, Any]) -> bool | None:
    """Whether the process that wrote this (its `pid`, `host` and `time`) lives; None where that
    cannot be seen from here.

    A number that another process got since is told from it by the start: nobody writes before being
    there.
    """
    pid = written.get("pid")
    if written.get("host", socket.gethostname()) != socket.gethostname():
        return None
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _began_after(pid, written.get("time"))


def _began_after(pid: int, moment: Any) -> bool:
    """From Linux's /proc: the process is a zombie, or began after the moment (unix seconds);
    False where that is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    age = uptime - float(fields[19]) / os.sysconf("SC_CLK_TCK")
    return fields[0] == "Z" or (
        isinstance(moment, (int, float)) and time.time() - age > moment + 2.0
    )


@contextmanager
def recorded_end(directory: Path) -> Iterator[None]:
    """Says in status.json how what happens inside ended: finished, stopped by a signal, or
    failed and why."""
    try:
        yield
    except (Stopped, KeyboardInterrupt) as stop:
        write_status(directory, state="stopped", exit_code=getattr(stop, "exit_code", 130))
        raise
    except Exception as error:
        write_status(
            directory, state="failed", error=f"{type(error).__name__}: {error}", exit_code=1
        )
        raise
    write_status(directory, state="finished", exit_code=0)


def read_status(directory: Path) -> dict[str, Any]:
    path = directory / "status.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found

"""The process that wrote a file: who it was, and whether it still lives."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def is_alive(written: Mapping[str, Any]) -> bool | None:
    """Whether the process that wrote this (its `pid`, `host` and `time`) lives; None where that
    cannot be seen from here.

    A process that got the same number since began after the file was written.
    """
    pid = written.get("pid")
    if written.get("host", socket.gethostname()) != socket.gethostname():
        return None
    if not isinstance(pid, int) or not 0 < pid < 2**31:
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

"""status.json: what a run is doing, for whoever looks on from outside."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rlhf.rundir.files import read_json, write_json


def write_status(directory: Path, *, state: str, **details: Any) -> None:
    """state: running, finished, failed or stopped. Details not given stay as they were."""
    before = read_status(directory)
    write_json(directory / "status.json", {**before, "error": None, **details, "state": state, "pid": os.getpid(), "time": time.time()})


def read_status(directory: Path) -> dict[str, Any]:
    path = directory / "status.json"
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found

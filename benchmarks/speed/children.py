"""Measurements in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """That of a process which imports `benchmarks`."""
    paths = filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def result_of(module: str, words: Sequence[str]) -> dict[str, Any]:
    """What the module prints in its last line, as JSON.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", module, *words]
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env=environment()
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(command[1:])}: exit code {ended.returncode}")
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result

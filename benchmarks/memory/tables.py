"""Tables, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.speed.report import lines, show


def table(titles: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Each row is shown as soon as it is there."""
    for line in lines(titles, rows):
        show(line)
    show("")


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def machine(trainer: str) -> str:
    import torch
    import transformers

    name = f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
    if trainer != "cpu":
        name = torch.cuda.get_device_name()
    versions = {"Python": platform.python_version(), "torch": torch.__version__}
    versions["transformers"] = transformers.__version__
    return ", ".join([name, *(f"{k} {v}" for k, v in versions.items())])

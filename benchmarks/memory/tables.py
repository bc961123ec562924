"""Tables, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from typing import Any


def table(titles: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Each row is shown as soon as there is it."""
    head = list(titles)
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    print(flush=True)


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

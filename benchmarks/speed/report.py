"""Tables in Markdown and the same numbers as JSON, with the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "pytorch-lightning")


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def machine(*more: str) -> str:
    """One line: processor, cores, versions. `more`: what else the numbers depend on."""
    versions = map(version_of, PACKAGES)
    cores = f"{os.cpu_count()} cores, of which one thread is used"
    return ", ".join([processor(), cores, f"Python {platform.python_version()}", *versions, *more])


def version_of(package: str) -> str:
    return f"{package} {metadata.version(package)}"


def gflops(seconds: float = 1.0) -> float:
    """1e9 floating-point operations a CPU second of products [256, 256] x [256, 256] in float32."""
    import torch

    from benchmarks.speed.clock import cpu

    a, b = torch.randn(256, 256), torch.randn(256, 256)
    count, began = 0, cpu()
    while (took := cpu() - began) < seconds:
        for _ in range(20):
            a @ b
        count += 20
    return 2 * 256**3 * count / took / 1e9


def middle(numbers: Sequence[float], digits: int = 2) -> str:
    """The median, and the range where there are several: `1.52 (1.47 to 1.86)`."""
    if not numbers:
        return "-"
    text = f"{statistics.median(numbers):.{digits}f}"
    return text if len(numbers) == 1 else f"{text} ({least(numbers, digits)})"


def least(numbers: Sequence[float], digits: int = 2) -> str:
    return f"{min(numbers):.{digits}f} to {max(numbers):.{digits}f}"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Turn by turn."""
    return [a / b for a, b in zip(above, below, strict=True)]


def lines(titles: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Those of a table, each as soon as its row is there."""
    for line in chain([titles, ["---"] * len(titles)], rows):
        yield f"| {' | '.join(map(str, line))} |"


def table(titles: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    return "".join(f"{line}\n" for line in lines(titles, rows))


def show(text: str) -> None:
    print(text, flush=True)


def write_json(path: Path | None, where: str, results: Any) -> None:
    if path is not None:
        path.write_text(json.dumps({"machine": where, "results": results}, indent=2))

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


def machine(*more: str, device: str = "cpu") -> str:
    """One line: processor, cores, or the GPU; versions. `more`: what else the numbers depend on."""
    versions = map(version_of, PACKAGES)
    if device == "cuda":
        import torch

        return ", ".join([torch.cuda.get_device_name(), *versions, *more])
    cores = f"{os.cpu_count()} cores, of which one thread is used"
    return ", ".join([processor(), cores, f"Python {platform.python_version()}", *versions, *more])


def version_of(package: str) -> str:
    return f"{package} {metadata.version(package)}"


PRODUCTS = {  # what `gflops` computes
    "cpu": "products of 256 x 256",
    "cuda": "products of 4,096 x 4,096 in bfloat16",
}


def gflops(device: str, seconds: float = 1.0) -> float:
    """1e9 floating-point operations a second of `PRODUCTS`: a CPU second, in float32, or one of the
    GPU."""
    import torch

    from benchmarks.speed.clock import now

    size = 256 if device == "cpu" else 4096
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in "ab")
    count, began = 0, now()
    while (took := now() - began) < seconds:
        for _ in range(20):
            a @ b
        count += 20
    return 2 * size**3 * count / took / 1e9


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

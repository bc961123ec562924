"""The most memory that a process has had, of itself alone.

    python benchmarks/peak.py FILE -m rlhf ...     # runs the module, and writes its peak into FILE

`getrusage` does not tell it: `ru_maxrss` begins with the peak of the process that started this one,
which a larger program hands on. Linux counts it anew from the program's start (VmHWM).
"""

from __future__ import annotations

import gc
import re
import runpy
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def _status(name: str) -> int:
    match = re.search(rf"{name}:\s+(\d+)", STATUS.read_text())
    assert match is not None
    return 1024 * int(match[1])


def resident() -> int:
    """Bytes that are resident now, mapped files among them; 0 off Linux."""
    return _status("VmRSS") if STATUS.exists() else 0


def resident_peak() -> int:
    """Bytes that were resident at the most, mapped files among them. Off Linux what `getrusage`
    says."""
    if STATUS.exists():
        return _status("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def allocated(device: str) -> int:
    """Bytes: allocated now on the GPU ("cuda"), or resident in this process ("cpu")."""
    if device == "cuda":
        import torch

        return int(torch.cuda.memory_allocated())
    return resident()


def allocated_peak(device: str) -> int:
    """The same at the most."""
    if device == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated())
    return resident_peak()


def begin_anew(device: str) -> int:
    """Lets the peak begin again, and returns the bytes that it begins with."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif STATUS.exists():
        STATUS.with_name("clear_refs").write_text("5")
    return allocated_peak(device)


def main() -> None:
    file, flag, module, *sys.argv[1:] = sys.argv[1:]
    if flag != "-m":
        raise SystemExit(__doc__)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(str(resident_peak()))


if __name__ == "__main__":
    main()

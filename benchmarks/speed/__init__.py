"""What the benchmarks of speed share: cases, clocks, peers that take turns, tables.

Time is process CPU seconds with one thread, so that a machine that others use too gives the same
numbers. Sides take turns in one process (A B A B), and a ratio is the median of the turns' ratios,
with their range. `one_thread` must come before torch is imported.
"""

from __future__ import annotations

import os


def one_thread() -> None:
    """One thread for every thread pool of this process and of those that it starts."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

"""Seconds from arithmetic. Rough: a range, for small matrices and short decoding steps never have
the rate of a large product."""

from __future__ import annotations

# shares of that rate: what SFT and drawing had on a CPU was 0.3 to 0.8
BEST, WORST = 0.8, 0.2
LEAST = 1e13  # operations below which a run's time is that of everything but arithmetic


def seconds(operations: float, rate: float) -> tuple[float, float]:
    """From the least to the most.

    Args:
        rate: operations a second of a large product of matrices.
    """
    return operations / rate / BEST, operations / rate / WORST

"""Checks that constructors share. Torch-free."""

from __future__ import annotations

import math


def positive(name: str, value: float) -> float:
    """The value of an argument that must be a finite number above 0.

    Raises:
        ValueError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value}")
    return float(value)

"""From a sweep's directory to one answer: a picture, a table, a report."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhf.compare.comparison import compare as compare
    from rlhf.compare.result import Comparison as Comparison

__all__ = ["COMPARISONS", "Comparison", "compare"]

COMPARISONS = Path("outputs/comparisons")  # of several sweeps or runs together
_HOMES = {"compare": "rlhf.compare.comparison", "Comparison": "rlhf.compare.result"}


def __getattr__(name: str) -> Any:
    """Imports on first use: a part of it is imported without all others."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rlhf.compare' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

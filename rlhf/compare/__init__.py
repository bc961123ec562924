"""From a sweep's directory to one answer: a picture, a table, a report."""

from rlhf.compare.comparison import Comparison, compare

__all__ = ["Comparison", "compare"]

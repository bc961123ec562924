"""From a sweep's directory to one answer: a picture, a table, a report."""

from rlhf.compare.comparison import compare
from rlhf.compare.result import Comparison

__all__ = ["Comparison", "compare"]

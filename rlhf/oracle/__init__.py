"""Exact answers on problems small enough to enumerate."""

from rlhf.oracle.enumerate import enumerate_responses
from rlhf.oracle.exact import bon_kl, exact_sequence_kl, expected, objective, optimal_policy

__all__ = ["bon_kl", "enumerate_responses", "exact_sequence_kl", "expected", "objective", "optimal_policy"]

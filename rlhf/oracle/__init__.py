"""Exact answers on problems small enough to enumerate."""

from rlhf.oracle.best_of_n import best_of_n, best_of_n_mean, bon_kl
from rlhf.oracle.enumerate import (
    check_count,
    count_responses,
    enumerate_responses,
    enumerate_rollout,
)
from rlhf.oracle.exact import (
    best_policy,
    exact_sequence_kl,
    expected,
    greedy_policy,
    objective,
    optimal_policy,
    sequence_entropy,
)
from rlhf.oracle.measure import (
    Standing,
    best_of_n_curve,
    beta_for_kl,
    check_normalised,
    effective_beta,
    frontier,
    mean_standing,
    reward_at_kl,
    standings,
)
from rlhf.oracle.realign import realignment, sequence_mixture, token_mixture

__all__ = [
    "Standing",
    "best_of_n",
    "best_of_n_curve",
    "best_of_n_mean",
    "best_policy",
    "beta_for_kl",
    "bon_kl",
    "check_normalised",
    "check_count",
    "count_responses",
    "effective_beta",
    "enumerate_responses",
    "enumerate_rollout",
    "exact_sequence_kl",
    "expected",
    "frontier",
    "greedy_policy",
    "mean_standing",
    "objective",
    "optimal_policy",
    "realignment",
    "reward_at_kl",
    "sequence_entropy",
    "sequence_mixture",
    "standings",
    "token_mixture",
]

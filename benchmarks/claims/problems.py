"""Random problems that are tables, and policies that climb on them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from scipy.stats import t as student
from torch import Tensor

from rlhf.oracle import (
    Standing,
    effective_beta,
    exact_sequence_kl,
    mean_standing,
    optimal_policy,
    standings,
)
from rlhf.oracle.penalties import objective_gradient
from rlhf.oracle.tables import Tree, prefix_tree

VOCAB, PEAK = 4, 1.0  # the last token ends; the reference's logits are PEAK * normal


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A reference, a reward of each response, and a policy some way off."""

    tree: Tree
    ref: Tensor  # [S, V]
    table: Tensor  # [S, V] the reference + `move` times normal numbers
    step: Tensor  # [S, V] normal numbers: where a local move goes
    reward: Tensor  # [N] normal

    @property
    def ref_logp(self) -> Tensor:
        return self.tree.sequence_logp(self.ref)

    def standing(self, table: Tensor, beta: float) -> Standing:
        logp = self.tree.sequence_logp(table)[None]
        return mean_standing(standings(logp, self.ref_logp[None], self.reward[None], beta))

    def local_kl(self, old: Tensor, table: Tensor) -> float:
        """KL(old || policy) of responses, nats."""
        logp = self.tree.sequence_logp
        return float(exact_sequence_kl(logp(old), logp(table)))

    def best(self, beta: float) -> Tensor:
        return optimal_policy(self.ref_logp, self.reward, beta)[0]

    def effective_beta(self, kl: float) -> float:
        return effective_beta(self.ref_logp[None], self.reward[None], kl)


def draw(length: int, number: int, move: float = 0.7) -> Problem:
    """Problem `number` with responses of up to `length` tokens; the reference is the same whatever
    `move` is."""
    tree = prefix_tree(VOCAB, VOCAB - 1, length)
    generator = torch.Generator().manual_seed(number)
    ref, away, step = (
        torch.randn(tree.rows, VOCAB, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    reward = torch.randn(len(tree.tokens), generator=generator, dtype=torch.float64)
    ref = PEAK * ref
    return Problem(tree=tree, ref=ref, table=ref + move * away, step=step, reward=reward)


def climb(
    problem: Problem, penalty: Callable[[Tensor], Tensor], beta: float, *, steps: int = 400
) -> Tensor:
    """Where Adam's ascent of E[r] - beta * penalty ends, both expected gradients exact: from the
    reference, `penalty(table)` being the gradient that a step descends."""
    table = problem.ref.clone()
    optimizer = torch.optim.Adam([table], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        reward = objective_gradient(problem.tree, table, problem.ref, problem.reward, 0.0)
        table.grad = beta * penalty(table) - reward
        optimizer.step()
        schedule.step()
    return table


def across(values: Sequence[float], digits: int = 2) -> str:
    """Mean and its 95 % t interval over problems: `0.41 (0.37 to 0.45)`; the mean alone where all
    are equal in what is shown."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    half = float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values)
    half /= math.sqrt(len(values))
    low, high = f"{mean - half:.{digits}f}", f"{mean + half:.{digits}f}"
    return f"{mean:.{digits}f}" if low == high else f"{mean:.{digits}f} ({low} to {high})"


def error(ours: Tensor, true: Tensor) -> float:
    """|ours - true| / |true|"""
    return float((ours - true).norm() / true.norm())


def angle(ours: Tensor, true: Tensor) -> float:
    """Degrees."""
    cosine = (ours * true).sum() / (ours.norm() * true.norm())
    return math.degrees(math.acos(max(-1.0, min(1.0, float(cosine)))))


def share(values: Sequence[float]) -> str:
    """`19 of 20` above 0."""
    return f"{sum(v > 0 for v in values)} of {len(values)}"

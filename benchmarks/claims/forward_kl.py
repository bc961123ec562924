"""The optimum of E[r] - beta KL(ref || pi) (arXiv 2510.20817)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.claims.ppo import paired, pieces, reached, swept
from benchmarks.claims.problems import Problem, across, climb, draw, share
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.functional.kl import k3
from rlhf.oracle import exact_sequence_kl, expected, optimal_policy, sequence_entropy
from rlhf.oracle.penalties import penalty_gradient
from rlhf.oracle.variants import forward_objective, forward_optimal_policy

BETAS = (0.01, 0.1, 1.0, 10.0)
GAINS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the way from the reference's reward to the best there is


def optimum(number: int, beta: float) -> Numbers:
    """How large the gradient is at the formula's policy, and how much a step away loses."""
    problem = draw(3, number)
    best, _ = forward_optimal_policy(problem.ref_logp, problem.reward, beta)
    logits = best.clone().requires_grad_()
    value = forward_objective(problem.reward, logits.log_softmax(-1), problem.ref_logp, beta)
    (gradient,) = torch.autograd.grad(value, logits)
    generator = torch.Generator().manual_seed(number)
    away = best + 0.1 * torch.randn(best.shape, generator=generator, dtype=best.dtype)
    less = forward_objective(problem.reward, away.log_softmax(-1), problem.ref_logp, beta)
    return {"gradient": float(gradient.abs().max()), "loses": float(value.detach() - less)}


def at_reward(problem: Problem, family: str, reward: float) -> Tensor:
    """The optimum of the family whose mean reward is this one."""
    low, high = math.log(1e-6), math.log(1e6)
    make = forward_optimal_policy if family == "forward" else optimal_policy
    for _ in range(100):
        middle = (low + high) / 2
        logp, _ = make(problem.ref_logp, problem.reward, math.exp(middle))
        above = float(expected(problem.reward, logp)) > reward
        low, high = (middle, high) if above else (low, middle)
    return make(problem.ref_logp, problem.reward, math.exp(high))[0]


def matched(number: int, gain: float) -> Numbers:
    problem = draw(3, number)
    ref, reward = problem.ref_logp, problem.reward
    start = float(expected(reward, ref))
    at = start + gain * (float(reward.max()) - start)
    numbers: Numbers = {}
    for family in ("reverse", "forward"):
        logp = at_reward(problem, family, at)
        numbers |= {
            f"{family} entropy": float(sequence_entropy(logp)),
            f"{family} kl": float(exact_sequence_kl(logp, ref)),
            f"{family} from": float(exact_sequence_kl(ref, logp)),
            f"{family} top": float(logp.exp().max()),
        }
    return numbers


def modes(number: int, beta: float) -> Numbers:
    """Two responses, the most and the least likely of the reference, have reward 1, all others 0:
    the ratio of the two, less that of the reference, in logarithms."""
    ref = draw(3, number).ref_logp
    first, second = int(ref.argmax()), int(ref.argmin())
    reward = torch.zeros_like(ref)
    reward[first] = reward[second] = 1.0
    forward, _ = forward_optimal_policy(ref, reward, beta)
    reverse, _ = optimal_policy(ref, reward, beta)
    own = ref[first] - ref[second]
    return {
        "own": float(own),
        "forward": float(forward[first] - forward[second] - own),
        "reverse": float(reverse[first] - reverse[second] - own),
    }


def ends(number: int, beta: float) -> Numbers:
    """Exact ascent with k3 of whole responses in the loss."""
    problem = draw(3, number)

    def penalty(table: Tensor) -> Tensor:
        return penalty_gradient(problem.tree, table, problem.ref, k3, "sequence_loss")

    logp = problem.tree.sequence_logp(climb(problem, penalty, beta))
    forward, _ = forward_optimal_policy(problem.ref_logp, problem.reward, beta)
    return {
        "forward": float(exact_sequence_kl(logp, forward)),
        "reverse": float(exact_sequence_kl(logp, problem.best(beta))),
    }


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for beta in BETAS:
        numbers = kept.each(problems, optimum, beta)
        ratios = kept.each(problems, modes, beta)
        off = max(abs(row[family]) for row in ratios for family in ("forward", "reverse"))
        gradient = f"{max(column(numbers, 'gradient')):.0e}"
        own = across([math.exp(v) for v in column(ratios, "own")], 0)
        rows.append([beta, gradient, share(column(numbers, "loses")), own, f"{off:.0e}"])
    yield Shown(
        title="beta ref / (L - r): largest gradient at it, steps away that lose; two"
        " responses of equal reward, and how far either optimum is from the reference's ratio"
        " (largest, logarithm)",
        heads=["beta", "largest gradient", "steps that lose", "reference's ratio", "off by"],
        rows=rows,
    )
    rows = []
    for gain in GAINS:
        numbers = kept.each(problems, matched, gain)
        cells = []
        for name in ("entropy", "kl", "from", "top"):
            both = [column(numbers, f"{family} {name}") for family in ("reverse", "forward")]
            cells.append(f"{sum(both[0]) / problems:.2f}")
            cells.append(across([b - a for a, b in zip(*both, strict=True)]))
        rows.append([f"{100 * gain:.0f} %", *cells])
    quantities = ("entropy", "KL(pi to ref)", "KL(ref to pi)", "the likeliest response")
    yield Shown(
        title="The two optima at equal mean reward: the reverse one's, and forward less reverse",
        heads=["gain", *(h for name in quantities for h in (name, "forward - reverse"))],
        rows=rows,
    )
    rows = []
    for beta in (0.2, 0.5, 1.0):
        numbers = kept.each(problems, ends, beta)
        rows.append([beta, *(across(column(numbers, f), 4) for f in ("forward", "reverse"))])
    yield Shown(
        title="Where exact ascent with k3 of whole responses ends: its KL to both optima, nats",
        heads=["beta", "to the forward optimum", "to pi*"],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("forward_kl", folder, seeds)
    yield reached(made, pieces)
    yield paired(made, pieces, "k1 in reward, beta 0.5", "k3 in sequence_loss, beta 0.5")

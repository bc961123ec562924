"""A reference that follows the policy (the issue's claim; kl/reference=ema, synced)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.claims.ppo import by_setting, swept
from benchmarks.claims.problems import across, draw
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.compare.read import Run
from rlhf.oracle import exact_sequence_kl, greedy_policy, optimal_policy
from rlhf.oracle.penalties import objective_gradient
from rlhf.oracle.variants import followed_beta

BETA = 1.0
DECAYS = (0.0, 0.9, 0.99)
ITERATIONS = (5, 20, 60, 200)


def optimum(number: int, decay: float, iterations: int) -> Numbers:
    """The policy is the optimum to the anchor in every iteration; anchors of responses and of
    tables, by logits."""
    problem = draw(3, number)
    tree, reward = problem.tree, problem.reward
    anchor, table = problem.ref_logp, problem.ref.log_softmax(-1)
    for _ in range(iterations):
        best, _ = optimal_policy(anchor, reward, BETA)
        anchor = (decay * anchor + (1 - decay) * best).log_softmax(-1)
        of_table, _ = optimal_policy(tree.sequence_logp(table), reward, BETA)
        new = tree.table_of(of_table).log_softmax(-1)
        table = (decay * table + (1 - decay) * new).log_softmax(-1)
    beta = followed_beta(BETA, decay, iterations)
    own, _ = optimal_policy(anchor, reward, BETA)
    of_table, _ = optimal_policy(tree.sequence_logp(table), reward, BETA)
    return {
        "kl": float(exact_sequence_kl(own, problem.ref_logp)),
        "table beta": problem.effective_beta(float(exact_sequence_kl(of_table, problem.ref_logp))),
        "to": beta,
    }


def lagging(number: int, decay: float, iterations: int, steps: int = 4) -> Numbers:
    """Adam's exact ascent of E[r] - beta KL(pi || anchor), a few steps an iteration. decay 1 is
    the reference of the start."""
    problem = draw(3, number)
    table, anchor = problem.ref.clone(), problem.ref.log_softmax(-1)
    optimizer = torch.optim.Adam([table], lr=0.05)
    for _ in range(iterations):
        for _ in range(steps):
            table.grad = -objective_gradient(problem.tree, table, anchor, problem.reward, BETA)
            optimizer.step()
        anchor = (decay * anchor + (1 - decay) * table.log_softmax(-1)).log_softmax(-1)
    kl = problem.standing(table, BETA).kl
    return {"kl": kl, "beta": problem.effective_beta(kl)}


def bounds(number: int) -> Numbers:
    problem = draw(3, number)

    def kl(logp: Tensor) -> float:
        return float(exact_sequence_kl(logp, problem.ref_logp))

    return {
        "optimum": kl(problem.best(BETA)),
        "greedy": kl(greedy_policy(problem.ref_logp, problem.reward)),
    }


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for decay in DECAYS:
        for iterations in ITERATIONS:
            numbers = kept.each(problems, optimum, decay, iterations)
            cells = [across(column(numbers, name), 3) for name in ("to", "table beta")]
            rows.append([decay, iterations, *cells, across(column(numbers, "kl"))])
    ends = kept.each(problems, bounds)
    at_beta, greedy = (across(column(ends, name)) for name in ("optimum", "greedy"))
    yield Shown(
        title=f"The policy at its optimum in every iteration, beta {BETA:g}. The optimum to the"
        f" start has {at_beta} nats, the best response alone {greedy}",
        heads=[
            "decay",
            "iterations",
            "beta / (1 + n (1 - decay))",
            "effective beta of averaged tables",
            "KL to the start",
        ],
        rows=rows,
    )
    rows = []
    for decay in (1.0, 0.99, 0.9):
        for iterations in ITERATIONS:
            numbers = kept.each(problems, lagging, decay, iterations)
            predicted = f"{followed_beta(BETA, decay, iterations):.3f}"
            cells = [across(column(numbers, "beta"), 3), across(column(numbers, "kl"))]
            rows.append([decay, iterations, predicted, *cells])
    yield Shown(
        title="Four steps of exact ascent an iteration (decay 1: the reference stays)",
        heads=["decay", "iterations", "predicted beta", "effective beta", "KL to the start"],
        rows=rows,
    )


def reference_of(run: Run) -> str:
    return f"{run.config['kl.reference']}"


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    of = by_setting(swept("ema_anchor", folder, seeds), reference_of)
    rows = []
    for reference in ("sft", "ema", "synced"):
        own = [*of[reference].values()]
        cells = [across(column(own, name)) for name in ("beta", "kl", "optimum")]
        rows.append([reference, len(own), *cells])
    yield Shown(
        title="PPO, beta 1, 60 iterations: distance to the SFT policy",
        heads=["reference", "problems", "effective beta", "KL to SFT", "KL of the optimum"],
        rows=rows,
    )

"""The ratio that GRPO's KL term lacks (arXiv 2505.17508)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from benchmarks.claims.ppo import of_problems, paired, pieces, reached, swept
from benchmarks.claims.problems import Problem, across, draw, error
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.compare.read import Run
from rlhf.functional.kl import k3
from rlhf.oracle.penalties import Ratio, objective_gradient, penalty_gradient

LOCAL = (0.0, 0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0)  # nats per response
EPOCHS = (1, 4, 16)


def moved(problem: Problem, local: float) -> Tensor:
    """The policy that drew the responses, so far away that KL(old || policy) is `local`."""
    low, high = 0.0, 64.0
    for _ in range(60):
        middle = (low + high) / 2
        reached_kl = problem.local_kl(problem.table + middle * problem.step, problem.table)
        low, high = (middle, high) if reached_kl < local else (low, middle)
    return problem.table + low * problem.step


def errors(number: int, length: int, local: float) -> Numbers:
    problem = draw(length, number)
    old = moved(problem, local) if local else problem.table
    without, right = (
        penalty_gradient(problem.tree, problem.table, problem.ref, k3, "loss", old=old, ratio=ratio)
        for ratio in ("none", "detached")
    )
    return {"error": error(without, right), "local": problem.local_kl(old, problem.table)}


def walk(number: int, ratio: Ratio, epochs: int, beta: float = 0.5) -> Numbers:
    """Exact training in iterations: `epochs` steps of plain descent of PPO's loss without clipping
    on the responses of one policy, k3 in the loss with or without rho."""
    problem = draw(3, number)
    table, locals_, wrong = problem.ref.clone(), [], []
    for _ in range(240 // epochs):
        old = table.clone()
        for _ in range(epochs):
            penalty = penalty_gradient(
                problem.tree, table, problem.ref, k3, "loss", old=old, ratio=ratio
            )
            other = penalty_gradient(
                problem.tree, table, problem.ref, k3, "loss", old=old, ratio="detached"
            )
            wrong.append(error(penalty, other) if float(other.norm()) > 1e-9 else 0.0)
            reward = objective_gradient(problem.tree, table, problem.ref, problem.reward, 0.0)
            table = table + 0.5 * (reward - beta * penalty)
        locals_.append(problem.local_kl(old, table))
    at = problem.standing(table, beta)
    # of the first half: later the steps are small
    half = len(wrong) // 2
    return {
        "kl": at.kl,
        "local": sum(locals_[: len(locals_) // 2 + 1]) / (len(locals_) // 2 + 1),
        "error": sum(wrong[:half]) / half,
    }


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows, means = [], {}
    for local in LOCAL:
        cells = []
        for length in (1, 3):
            numbers = kept.each(problems, errors, length, local)
            means[length, local] = sum(column(numbers, "error")) / problems
            cells.append(across(column(numbers, "error"), 3))
        rows.append([f"{local:g}", *cells])
    yield Shown(
        title="k3 in the loss without rho: relative error to the gradient with it",
        heads=["local KL, nats", "one token", "three tokens"],
        rows=rows,
    )
    rows = []
    for low, high in ((0.0001, 0.001), (0.001, 0.01), (0.01, 0.1), (0.1, 1.0)):
        slopes = [math.log10(means[n, high] / means[n, low]) for n in (1, 3)]
        slopes = [slope / math.log10(high / low) for slope in slopes]
        rows.append([f"{low:g} to {high:g}", *(f"{slope:.2f}" for slope in slopes)])
    yield Shown(
        title="Slope of that error in the local KL, both in logarithms (0.5 is the root)",
        heads=["local KL, nats", "one token", "three tokens"],
        rows=rows,
    )
    rows = []
    for epochs in EPOCHS:
        of = {ratio: kept.each(problems, walk, ratio, epochs) for ratio in ("detached", "none")}
        cells = [across(column(of["none"], name), 4) for name in ("local", "error")]
        pairs = zip(column(of["detached"], "kl"), column(of["none"], "kl"), strict=True)
        rows.append([epochs, *cells, across([b - a for a, b in pairs], 4)])
    yield Shown(
        title="Exact training at beta 0.5, 240 steps, a new policy draws after each so many; local"
        " KL and error are means over the first half",
        heads=[
            "inner epochs",
            "local KL at an iteration's end",
            "error without rho",
            "KL at the end, without rho less with it",
        ],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("grpo_rho", folder, seeds)
    yield reached(made, pieces)
    with_rho, without = "k3 in loss, beta 0.5", "k3 in loss_without_ratio, beta 0.5"
    yield paired(made, pieces, with_rho, without)
    rows = []
    for setting in (with_rho, without):
        means = of_problems([run for run in made if pieces(run) == setting], mean_local)
        rows.append([setting, len(means), across(means, 4)])
    yield Shown(
        title="PPO: the local KL of the last inner epoch's steps, nats per token, mean of a run",
        heads=["setting", "problems", "local KL"],
        rows=rows,
    )


def mean_local(run: Run) -> float:
    numbers = [float(row["trust_region/kl"]) for row in run.metrics if "trust_region/kl" in row]
    return sum(numbers) / len(numbers)

"""k3 in the reward (arXiv 2512.21852)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.claims.ppo import paired, pieces, reached, swept
from benchmarks.claims.problems import across, angle, climb, draw
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.functional.kl import k1, k3
from rlhf.oracle.penalties import kl_gradient, penalty_gradient

MOVES = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0)
BETAS = (0.2, 1.0)


def force(number: int, length: int, move: float) -> Numbers:
    problem = draw(length, number, move)
    true = kl_gradient(problem.tree, problem.table, problem.ref)
    ours = penalty_gradient(problem.tree, problem.table, problem.ref, k3, "reward")
    away = problem.table - problem.ref
    away = away - away.mean(-1, keepdim=True)
    # the component along the way that the policy came: above 0 it leads back
    back, of_kl = float((ours * away).sum()), float((true * away).sum())
    return {
        "kl": problem.standing(problem.table, 1.0).kl,
        "length": float(ours.norm() / true.norm()),
        "angle": angle(ours, true),
        "back": back / of_kl,
    }


def ends(number: int, form: str, beta: float) -> Numbers:
    problem = draw(3, number)

    def penalty(table):
        if form == "nothing":
            return torch.zeros_like(table)
        estimate = k3 if form == "k3" else k1
        return penalty_gradient(problem.tree, table, problem.ref, estimate, "reward")

    at = problem.standing(climb(problem, penalty, beta), beta)
    return {
        "share": 100 * at.share_of_gain,
        "kl": at.kl,
        "optimum": at.optimum_kl,
        "entropy": at.entropy,
    }


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for length in (1, 3):
        for move in MOVES:
            numbers = kept.each(problems, force, length, move)
            cells = [across(column(numbers, "length"), 4), across(column(numbers, "angle"), 0)]
            outward = sum(v < 0 for v in column(numbers, "back"))
            kl = f"{sum(column(numbers, 'kl')) / problems:.2g}"
            rows.append([length, kl, *cells, across(column(numbers, "back"), 3), outward])
    yield Shown(
        title="The gradient of k3 in the reward beside that of the KL",
        heads=[
            "tokens",
            "KL, nats",
            "length / that of the KL's",
            "angle, °",
            "share of its force back to the reference",
            f"led outwards, of {problems}",
        ],
        rows=rows,
    )
    rows = []
    for beta in BETAS:
        for form in ("k1", "k3", "nothing"):
            numbers = kept.each(problems, ends, form, beta)
            cells = [across(column(numbers, "share"), 1), across(column(numbers, "kl"))]
            cells += [across(column(numbers, name)) for name in ("optimum", "entropy")]
            rows.append([form, beta, *cells])
    yield Shown(
        title="Where 400 steps of exact ascent end, three tokens",
        heads=[
            "in the reward",
            "beta",
            "share of the gain, %",
            "KL, nats",
            "KL of the optimum",
            "entropy, nats",
        ],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("k3_in_reward", folder, seeds)
    yield reached(made, pieces)
    yield paired(made, pieces, "k1 in reward, beta 0.5", "k3 in reward, beta 0.5")

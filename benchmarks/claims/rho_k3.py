"""rho * k3 as a loss (arXiv 2512.02556)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.ppo import paired, pieces, reached, swept
from benchmarks.claims.problems import across, draw, error
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.functional.kl import k2, k3
from rlhf.oracle.penalties import kl_gradient, penalty_gradient, token_kl_gradient

MOVES = (0.0, 0.2, 0.5)


def gradients(number: int, length: int, move: float) -> Numbers:
    problem = draw(length, number)
    tree, table, ref = problem.tree, problem.table, problem.ref
    old = table + move * problem.step
    true = kl_gradient(tree, table, ref)
    theirs = penalty_gradient(tree, table, ref, k3, "loss", old=old, ratio="differentiated")
    whole = penalty_gradient(tree, table, ref, k3, "sequence_loss", old=old, ratio="differentiated")
    plain = penalty_gradient(tree, table, ref, k3, "loss", old=old, ratio="detached")
    of_tokens = penalty_gradient(tree, table, ref, k2, "loss", old=old, ratio="detached")
    return {
        "k2": error(theirs, of_tokens),
        "token KL": error(theirs, token_kl_gradient(tree, table, ref, old=old)),
        "true": error(theirs, true),
        "whole": error(whole, true),
        "detached": error(plain, true),
        "local": problem.local_kl(old, table),
    }


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for length in (1, 3):
        for move in MOVES:
            numbers = kept.each(problems, gradients, length, move)
            largest = [f"{max(column(numbers, name)):.1e}" for name in ("k2", "token KL")]
            cells = [across(column(numbers, name)) for name in ("true", "detached")]
            whole = f"{max(column(numbers, 'whole')):.1e}"
            rows.append([length, across(column(numbers, "local")), *largest, *cells, whole])
    yield Shown(
        title="rho k3, rho differentiated: relative differences",
        heads=[
            "tokens",
            "local KL, nats",
            "to token-level k2 (largest)",
            "to the KL of tokens (largest)",
            "to the sequence KL",
            "the same of k3 with rho as a number",
            "of whole responses, to the sequence KL (largest)",
        ],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("rho_k3", folder, seeds)
    yield reached(made, pieces)
    yield paired(made, pieces, "k1 in reward, beta 0.5", "k2 in loss, beta 0.5")

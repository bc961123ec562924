"""k2 as a loss beside k1 in the reward (arXiv 2510.01555)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims.ppo import paired, pieces, reached, swept
from benchmarks.claims.problems import across, angle, climb, draw, error, share
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.functional.kl import k1, k2
from rlhf.oracle.penalties import kl_gradient, penalty_gradient

FORMS = {
    "k1 in the reward": (k1, "reward"),
    "k2 of each token in the loss": (k2, "loss"),
    "k2 of the response in the loss": (k2, "sequence_loss"),
}
BETAS = (0.2, 1.0)
MOVE = 0.2  # of the local step, in logits


def gradients(number: int, form: str, length: int) -> Numbers:
    problem = draw(length, number)
    estimate, place = FORMS[form]
    old = problem.table + MOVE * problem.step
    true = kl_gradient(problem.tree, problem.table, problem.ref)

    def of(**more):
        return penalty_gradient(problem.tree, problem.table, problem.ref, estimate, place, **more)

    return {
        "on policy": error(of(), true),
        "angle": angle(of(), true),
        "with rho": error(of(old=old), true),
        "without": error(of(old=old, ratio="none"), true),
    }


def ends(number: int, form: str, beta: float) -> Numbers:
    problem = draw(3, number)
    estimate, place = FORMS[form]

    def penalty(table):
        return penalty_gradient(problem.tree, table, problem.ref, estimate, place)

    at = problem.standing(climb(problem, penalty, beta), beta)
    return {"share": 100 * at.share_of_gain, "ratio": at.kl / at.optimum_kl}


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for form in FORMS:
        for length in (1, 3):
            numbers = kept.each(problems, gradients, form, length)
            cells = [f"{max(column(numbers, 'on policy')):.1e}"]
            cells += [
                across(column(numbers, name)) for name in ("on policy", "with rho", "without")
            ]
            rows.append([form, length, *cells, across(column(numbers, "angle"), 1)])
    yield Shown(
        title="Relative error to the gradient of the sequence KL",
        heads=["form", "tokens", "largest", "mean", "after a move, rho", "no rho", "angle, °"],
        rows=rows,
    )
    rows = []
    for beta in BETAS:
        for form in FORMS:
            numbers = kept.each(problems, ends, form, beta)
            ratio = column(numbers, "ratio")
            farther = share([r - 1.005 for r in ratio])
            rows.append([form, beta, across(column(numbers, "share"), 1), across(ratio), farther])
    yield Shown(
        title="Where exact ascent ends, three tokens",
        heads=[
            "form",
            "beta",
            "share of the gain, %",
            "KL / KL of the optimum",
            "farther by 0.5 %",
        ],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("k2_in_loss", folder, seeds)
    yield reached(made, pieces)
    first = "k1 in reward, beta 0.5"
    for other in ("k2 in sequence_loss, beta 0.5", "k2 in loss, beta 0.5"):
        yield paired(made, pieces, first, other)

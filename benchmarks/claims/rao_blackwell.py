"""The exact KL at each prefix beside sampled log-ratios (arXiv 2504.10637)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.claims.ppo import paired, pieces, reached, swept
from benchmarks.claims.problems import Problem, across, draw
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.functional.kl import exact, k1
from rlhf.functional.masking import masked_fill_zero
from rlhf.oracle import reward_at_kl

BETAS = (0.1, 1.0)
BATCHES = (16, 256)
STEPS, RATE = 300, 0.05
# where on the way from the reference to pi*(beta): the optimum at beta / share
PLACES = {"the reference": 0.0, "half way": 0.5, "the optimum": 1.0}


def to_go(x: Tensor) -> Tensor:
    return x.flip(-1).cumsum(-1).flip(-1)


def scores(problem: Problem, table: Tensor) -> Tensor:
    """grad log pi(y_t | prefix) by its own row of logits: one-hot less probabilities. [N, T, V]"""
    tree = problem.tree
    one_hot = torch.nn.functional.one_hot(tree.tokens, tree.vocab_size)
    return (one_hot - tree.logits(table).softmax(-1)) * tree.mask.unsqueeze(-1)


def own_terms(problem: Problem, table: Tensor) -> Tensor:
    """The gradient of the exact KL at each prefix by its row: p (log(p / q) - KL). [N, T, V]"""
    tree = problem.tree
    logp, ref = tree.logits(table).log_softmax(-1), tree.logits(problem.ref).log_softmax(-1)
    kl = exact(logp, ref).unsqueeze(-1)
    return logp.exp() * (logp - ref - kl) * tree.mask.unsqueeze(-1)


def returns(problem: Problem, table: Tensor, beta: float, estimator: str) -> Tensor:
    """The shaped reward to go of each token. [N, T]"""
    tree = problem.tree
    if estimator == "k1":
        kl = k1(tree.logp(table), tree.logp(problem.ref))
    else:
        kl = exact(tree.logits(table), tree.logits(problem.ref))
    return problem.reward.unsqueeze(-1) - beta * to_go(masked_fill_zero(kl, tree.mask))


def single(problem: Problem, table: Tensor, beta: float, estimator: str, base: Tensor) -> Tensor:
    """One response's gradient of J, each. [N, S, V]"""
    tree = problem.tree
    terms = (returns(problem, table, beta, estimator) - base).unsqueeze(-1) * scores(problem, table)
    if estimator == "exact":
        terms = terms - beta * own_terms(problem, table)
    count, length = tree.tokens.shape
    whole = table.new_zeros(count, tree.rows, tree.vocab_size)
    for t in range(length):
        rows = torch.arange(count)
        whole[rows, tree.prefix[:, t]] += terms[:, t] * tree.mask[:, t : t + 1]
    return whole


def baseline(problem: Problem, table: Tensor, beta: float, estimator: str) -> Tensor:
    """The expected return at each prefix: what a perfect critic knows. [N, T]"""
    tree = problem.tree
    weight = tree.sequence_logp(table).exp().unsqueeze(-1) * tree.mask
    to_come = returns(problem, table, beta, estimator)
    mass, mean = table.new_zeros(tree.rows), table.new_zeros(tree.rows)
    mass.index_put_((tree.prefix,), weight, accumulate=True)
    mean.index_put_((tree.prefix,), weight * to_come, accumulate=True)
    return (mean / mass.clamp(min=1e-300))[tree.prefix]


def variances(number: int, beta: float, name: str) -> Numbers:
    """The variance of one response's gradient, summed over the logits, with a perfect critic."""
    problem, place = draw(3, number), PLACES[name]
    table = problem.ref
    if place:
        table = problem.tree.table_of(problem.best(beta / place))
    weight = problem.tree.sequence_logp(table).exp()
    of = {}
    for estimator in ("k1", "exact"):
        base = baseline(problem, table, beta, estimator)
        each = single(problem, table, beta, estimator, base).flatten(1)
        mean = (weight.unsqueeze(-1) * each).sum(0)
        of[estimator] = float((weight * (each - mean).square().sum(-1)).sum())
    return of


def trained(number: int, beta: float, batch: int, estimator: str) -> Numbers:
    """REINFORCE with a perfect critic, Adam: the mean over the last third of its steps."""
    problem, generator = draw(3, number), torch.Generator().manual_seed(number)
    table = problem.ref.clone()
    optimizer = torch.optim.Adam([table], lr=RATE)
    gathered: list[tuple[float, float]] = []
    for step in range(STEPS):
        base = baseline(problem, table, beta, estimator)
        drawn = torch.multinomial(
            problem.tree.sequence_logp(table).exp(), batch, replacement=True, generator=generator
        )
        counts = torch.bincount(drawn, minlength=len(problem.reward)) / batch
        each = single(problem, table, beta, estimator, base)
        table.grad = -(counts[:, None, None] * each).sum(0)
        optimizer.step()
        if step >= 2 * STEPS // 3 and step % 5 == 0:
            at = problem.standing(table, beta)
            best = reward_at_kl(problem.ref_logp[None], problem.reward[None], at.kl)
            gathered.append((best - at.reward, 100 * at.share_of_gain))
    missing, share = (sum(values) / len(values) for values in zip(*gathered, strict=True))
    return {"missing": missing, "share": share}


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    rows = []
    for beta in BETAS:
        cells = []
        for name in PLACES:
            numbers = kept.each(problems, variances, beta, name)
            k1s, exacts = column(numbers, "k1"), column(numbers, "exact")
            mean = [f"{sum(v) / problems:.2g}" for v in (k1s, exacts)]
            lower = sum(b < a for a, b in zip(k1s, exacts, strict=True))
            cells += [f"{mean[0]}, {mean[1]}", f"{lower} of {problems}"]
        rows.append([beta, *cells])
    yield Shown(
        title="Variance of one response's gradient with a perfect critic: k1, exact (mean), and on"
        " how many problems exact has less",
        heads=["beta", *(h for place in PLACES for h in (f"at {place}", "exact less"))],
        rows=rows,
    )
    rows = []
    for beta in BETAS:
        for batch in BATCHES:
            of = {
                estimator: kept.each(problems, trained, beta, batch, estimator)
                for estimator in ("k1", "exact")
            }
            cells = [across(column(of[e], "missing"), 4) for e in of]
            for name, digits in (("missing", 4), ("share", 2)):
                pairs = zip(column(of["k1"], name), column(of["exact"], name), strict=True)
                cells.append(across([b - a for a, b in pairs], digits))
            rows.append([beta, batch, *cells])
    yield Shown(
        title=f"{STEPS} steps of REINFORCE with a perfect critic: reward below the frontier at the"
        " same KL, mean of the last 100 steps",
        heads=[
            "beta",
            "responses a step",
            "k1",
            "exact",
            "exact - k1",
            "share of the gain, exact - k1, points",
        ],
        rows=rows,
    )


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("rao_blackwell", folder, seeds)
    yield reached(made, pieces)
    yield paired(made, pieces, "k1 in reward, beta 1", "exact in both, beta 1")

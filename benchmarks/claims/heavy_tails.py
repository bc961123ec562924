"""Light and heavy tails of a proxy's error (arXiv 2407.14503)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.claims.ppo import of_problems, reached, swept
from benchmarks.claims.problems import across
from benchmarks.claims.tables import Kept, Numbers, Shown, column
from rlhf.compare.read import Run
from rlhf.oracle import best_of_n, beta_for_kl, expected, greedy_policy, optimal_policy

COUNT = 20_000  # responses, equally likely under the reference
KLS = (0.1, 0.5, 1.0, 2.0, 4.0, 6.0)
NS = (4, 16, 64, 256, 1024)
QUARTILE = 0.6744898  # of the normal distribution
TAILS = {"normal": 0.0, "t, 4 degrees": 4.0, "t, 2 degrees": 2.0}


def quantile(degrees: float, at: Tensor) -> Tensor:
    """Of the t distribution with 2 or 4 degrees of freedom (Shaw 2006, "Sampling Student's t")."""
    a = 4 * at * (1 - at)
    if degrees == 2:
        return 2 * (at - 0.5) * (2 / a).sqrt()
    q = 4 * ((a.sqrt().clamp(max=1).arccos() / 3).cos()) / a.sqrt()
    return (at - 0.5).sign() * (q - 4).clamp(min=0).sqrt()


def errors(degrees: float, generator: torch.Generator) -> Tensor:
    """With the quartiles of a normal distribution of variance 1."""
    if not degrees:
        return torch.randn(COUNT, generator=generator, dtype=torch.float64)
    at = torch.rand(COUNT, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12)
    scale = float(quantile(degrees, torch.tensor(0.75, dtype=torch.float64)))
    return quantile(degrees, at) * QUARTILE / scale


def problem(degrees: float, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """log ref, gold, proxy = gold + error, gold normal of mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(number)
    gold = torch.randn(COUNT, generator=generator, dtype=torch.float64)
    ref = torch.zeros(COUNT, dtype=torch.float64).log_softmax(-1)
    gold = gold - gold.mean()
    return ref, gold, gold + errors(degrees, generator)


def along(number: int, name: str) -> Numbers:
    """Gold and proxy of pi* at each KL, of the best proxy response, and of best of n."""
    ref, gold, proxy = problem(TAILS[name], number)
    numbers: Numbers = {}
    for kl in KLS:
        best, _ = optimal_policy(ref, proxy, beta_for_kl(ref[None], proxy[None], kl))
        numbers[f"gold/{kl}"] = float(expected(gold, best))
        numbers[f"proxy/{kl}"] = float(expected(proxy, best))
        ideal, _ = optimal_policy(ref, gold, beta_for_kl(ref[None], gold[None], kl))
        numbers[f"ideal/{kl}"] = float(expected(gold, ideal))
    top = greedy_policy(ref, proxy)
    numbers["gold/top"], numbers["proxy/top"] = (float(expected(x, top)) for x in (gold, proxy))
    for n in NS:
        kept = best_of_n(ref, proxy, n)
        numbers[f"bon/{n}"] = float(expected(gold, kept))
        numbers[f"bon proxy/{n}"] = float(expected(proxy, kept))
    return numbers


def tables(kept: Kept, problems: int) -> Iterator[Shown]:
    of = {name: kept.each(problems, along, name) for name in TAILS}
    rows = []
    for kl in (*KLS, "top"):
        cells = []
        for numbers in of.values():
            cells.append(across(column(numbers, f"gold/{kl}")))
            cells.append(f"{sum(column(numbers, f'proxy/{kl}')) / problems:.3g}")
        ideal = "" if kl == "top" else across(column(of["normal"], f"ideal/{kl}"))
        rows.append(["the best proxy response" if kl == "top" else kl, *cells, ideal])
    heads = [h for name in TAILS for h in (f"gold, {name}", "proxy")]
    yield Shown(
        title=f"pi* of the proxy at each KL, {COUNT} responses: gold reward (the reference has 0)",
        heads=["KL, nats", *heads, "gold, no error"],
        rows=rows,
    )
    rows = []
    for n in NS:
        cells = []
        for numbers in of.values():
            cells.append(across(column(numbers, f"bon/{n}")))
            cells.append(f"{sum(column(numbers, f'bon proxy/{n}')) / problems:.3g}")
        rows.append([n, *cells])
    yield Shown(title="Best of n by the proxy: gold reward", heads=["n", *heads], rows=rows)


def tail_of(run: Run) -> str:
    return f"t, {run.config['data.error_degrees']:g} degrees"


def last(run: Run, name: str, count: int = 10) -> float:
    """The mean of a metric of the rollouts of the last iterations."""
    numbers = [float(row[name]) for row in run.metrics if name in row]
    return sum(numbers[-count:]) / len(numbers[-count:])


def began(run: Run, name: str) -> float:
    """A metric of the first rollout."""
    return float(next(row[name] for row in run.metrics if name in row))


def gained(run: Run, name: str) -> float:
    return last(run, name) - began(run, name)


def runs(folder: Path, seeds: int) -> Iterator[Shown]:
    made = swept("heavy_tails", folder, seeds)
    yield reached(made, tail_of)
    rows = []
    for tail in sorted({tail_of(run) for run in made}):
        own = [run for run in made if tail_of(run) == tail]
        cells = []
        for name in ("reward/true", "reward/gold"):
            first = of_problems(own, partial(began, name=name))
            gain = of_problems(own, partial(gained, name=name))
            cells += [across(first), across(gain)]
        rows.append([tail, len(first), *cells])
    yield Shown(
        title="PPO's rollouts: the first iteration, and the last ten less it; gold is the proxy,"
        " the error in it",
        heads=["error", "problems", "true", "gain", "proxy", "gain"],
        rows=rows,
    )

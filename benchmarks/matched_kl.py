"""How well rewards at matched KL are read, where the truth is known.

    python benchmarks/matched_kl.py                 # some minutes
    python benchmarks/matched_kl.py --sweeps 40

Settings that lie on one curve, R(KL) = -0.43 + d (1.1 - 0.55 log d) with d = sqrt(KL) (Gao et al.,
arXiv 2210.10760): the KL coefficient only says where a run stops. No setting is better than another
at the same KL, so each difference that is claimed is a false one. Runs are made with the noise of
the quickstart: evaluations every 5 iterations with a standard error of 0.06, rollouts of 128
responses each iteration (standard error 0.1 of the reward, sqrt(2 KL / 128) of the KL, the two
correlated), training prompts that score a little more or less than the held-out ones.

Paths: `like` the quickstart's, where KL rises as 0.024 iteration^2 whatever the coefficient, and
`steep`, where a run passes 5 nats within 5 iterations. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np

from rlhf.compare.read import Run
from rlhf.compare.statistics import rival
from rlhf.compare.statistics.along_kl.matched import matched
from rlhf.compare.statistics.settings import Setting, group

ALPHA, BETA, START = 1.1, 0.55, -0.43
ENDS = {0.02: 18.0, 0.05: 11.5, 0.1: 5.3, 0.2: 3.2, 0.3: 2.0}  # coefficient: KL at the end
ITERATIONS, ROWS = 40, 128
GOLD = "reward/gold"
PATHS: dict[str, Callable[[int, float], float]] = {
    "like": lambda t, end: end * (1 - math.exp(-0.024 * t * t / end)),
    "steep": lambda t, end: end * (1 - math.exp(-((t / 8) ** 2))),
}


def truth(kl: float) -> float:
    d = math.sqrt(kl)
    return START + (d * (ALPHA - BETA * math.log(d)) if d else 0.0)


def run(
    coef: float,
    seed: int,
    draw: np.random.Generator,
    path: str,
    *,
    seed_sd: float,
    every: int = 5,
    rollouts: bool = True,
) -> Run:
    """A run on the curve. `seed_sd`: of its own offset to it, which comes with training."""
    offset, end = draw.normal(0, seed_sd), ENDS[coef] * math.exp(draw.normal(0, 0.05))
    prompts, stretch = draw.normal(0, 0.05), math.exp(draw.normal(0, 0.03))
    rows = []
    for t in range(ITERATIONS + 1):
        row: dict[str, float] = {"iteration": t}
        if t % every == 0:
            kl, reward = PATHS[path](t, end), truth(PATHS[path](t, end))
            row["eval/kl/sequence_nats_se"] = math.sqrt(2 * kl) / 16
            row["eval/kl/sequence_nats"] = kl + draw.normal(0, row["eval/kl/sequence_nats_se"])
            row[f"eval/{GOLD}"] = reward + offset * (1 - math.exp(-t / 5)) + draw.normal(0, 0.06)
            row[f"eval/{GOLD}_se"] = 0.06
        if t and rollouts:  # of the policy before this iteration's update
            kl, z = PATHS[path](t - 1, end), draw.normal()
            row["kl/sequence_nats_se"] = math.sqrt(2 * kl / ROWS)
            row["kl/sequence_nats"] = stretch * (kl + z * row["kl/sequence_nats_se"])
            noise = 0.1 * (0.4 * z + math.sqrt(1 - 0.4**2) * draw.normal())
            row[GOLD] = truth(kl) + offset * (1 - math.exp(-(t - 1) / 5)) + prompts + noise
            row[f"{GOLD}_se"] = 0.1
        rows.append(row)
    ended = {key: rows[-1][f"eval/{key}"] for key in ("kl/sequence_nats", GOLD)}
    return Run(
        name=f"kl{coef}-seed{seed}",
        directory=Path(f"/none/kl{coef}-seed{seed}"),
        status="finished",
        config={"kl.coef": coef, "seed": seed},
        pieces=frozenset(),
        summary={
            "status": "finished",
            "kl.coef": coef,
            "seed": seed,
            **ended,
            "kl/sequence_nats_se": rows[-1]["eval/kl/sequence_nats_se"],
            f"{GOLD}_se": 0.06,
            f"sft/{GOLD}": rows[0][f"eval/{GOLD}"],
            f"sft/{GOLD}_se": 0.06,
        },
        metrics=tuple(rows),
        error=None,
        overrides=(),
    )


def sweep(
    draw: np.random.Generator, path: str, seeds: int, seed_sd: float, *, rollouts: bool = True
) -> list[Setting]:
    return group(
        [
            run(coef, seed, draw, path, seed_sd=seed_sd, rollouts=rollouts)
            for coef in ENDS
            for seed in range(seeds)
        ]
    )


def readings(
    path: str, sweeps: int, *, rollouts: bool = True
) -> dict[tuple[float, bool], tuple[float, float, int]]:
    """(budget, only near it) -> bias of the readings of single runs, the share of their 95 %
    intervals that hold the truth, their number."""
    draw = np.random.default_rng(0)
    errors: dict[tuple[float, bool], list[tuple[float, bool]]] = {}
    for _ in range(sweeps):
        for _, cells in matched(sweep(draw, path, 1, 0.0, rollouts=rollouts), GOLD).rows:
            for cell in (cell for cell in cells if cell.reached):
                right, i = truth(cell.readings[0].kl), cell.interval
                row = (i.mean - right, i.low <= right <= i.high)
                errors.setdefault((cell.budget, cell.short), []).append(row)
    return {
        at: (fmean(e for e, _ in rows), fmean(held for _, held in rows), len(rows))
        for at, rows in sorted(errors.items())
    }


def claims(path: str, seeds: int, seed_sd: float, sweeps: int) -> dict[str, float]:
    """Shares of sweeps with a false claim: that any two settings differ at a budget; that another
    than the best is to be used below a KL; that the best is better or worse than its rival."""
    draw, false = np.random.default_rng(1), Counter[str]()
    for _ in range(sweeps):
        settings = sweep(draw, path, seeds, seed_sd)
        table = matched(settings, GOLD)
        best = max(settings, key=lambda s: s[GOLD].mean)
        nearer, other = table.nearer(best.label), rival(best, settings, GOLD)
        false["apart"] += any(s.apart for s in table.standings)
        false["nearer"] += nearer is not None and nearer.over_seeds
        false["rival"] += other is not None and other.clear
        false["beyond noise"] += any(s.beyond_noise for s in table.standings)
    names = ("apart", "nearer", "rival", "beyond noise")
    return {name: false[name] / sweeps for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=200)
    sweeps = parser.parse_args().sweeps
    gain = truth(5.0) - START
    print(f"Readings of one run; the gain at 5 nats is {gain:.2f}.\n")
    print("| path | recorded | budget, nats | bias | of the gain | 95 % holds | readings |")
    print("|---" * 7 + "|")
    for path in PATHS:
        for rollouts in (True, False):
            rows = readings(path, sweeps, rollouts=rollouts)
            for (budget, short), (bias, held, count) in rows.items():
                recorded = "evaluations and rollouts" if rollouts else "evaluations"
                at = f"{budget:g}" + " (came near)" * short
                print(
                    f"| {path} | {recorded} | {at} | {bias:+.3f} | {bias / gain:+.1%} |"
                    f" {held:.0%} | {count} |"
                )
    print("\nSweeps with a false claim.\n")
    print("| path | seeds | sd over seeds | any two at a budget | use another below a KL |", end="")
    print(" best and rival | beyond the noise, one seed |")
    print("|---" * 7 + "|")
    for path in PATHS:
        for seeds, sd in ((1, 0.0), (2, 0.1), (3, 0.0), (3, 0.1), (5, 0.1), (8, 0.1)):
            row = claims(path, seeds, sd, sweeps)
            print(f"| {path} | {seeds} | {sd:g} | " + " | ".join(f"{x:.1%}" for x in row.values()))


if __name__ == "__main__":
    main()

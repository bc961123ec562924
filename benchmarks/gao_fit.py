"""How often the 95 % intervals of a fitted form of Gao et al. hold the parameters, where these are
known.

    python benchmarks/gao_fit.py                  # a minute
    python benchmarks/gao_fit.py --sweeps 100

Runs along R(d) = d (1.1 - 0.55 log d), d = sqrt(KL), that stop at different KLs, with eight
evaluations each (standard error 0.06), an offset of each seed that comes with training, and one
error of SFT's reward that all gains of a sweep share: 0.08 is that of one evaluation of 256
responses, 0.015 that of best of n at n = 1 (64 responses to each of 128 prompts). Prints Markdown.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from rlhf.compare.statistics.along_kl.overoptimisation import Fit, fit, gain
from rlhf.compare.statistics.means import single

ALPHA, BETA = 1.1, 0.55
PEAK = math.exp(2 * (ALPHA / BETA - 1))
STOPS = (2.0, 5.0, 11.0, 18.0, 50.0)  # nats, in turns
POINTS, SE = 8, 0.06


def sweep(
    draw: np.random.Generator, runs: int, seed_sd: float, start_se: float
) -> list[list[tuple[float, float]]]:
    """(KL, gain) of each run's evaluations."""
    error, rows = draw.normal(0, start_se), []
    for i in range(runs):
        done = np.linspace(0.12, 1, POINTS)
        kls = STOPS[i % len(STOPS)] * (1 - np.exp(-((5 * done) ** 1.5) / 6))
        noise = draw.normal(0, seed_sd) * done + draw.normal(0, SE, POINTS) - error
        rows.append(
            [(kl, gain("rl", ALPHA, BETA, kl) + e) for kl, e in zip(kls, noise, strict=True)]
        )
    return rows


def coverage(runs: int, seed_sd: float, start_se: float, sweeps: int) -> dict[str, float]:
    """Shares of sweeps whose intervals hold alpha, beta and, where one is told, the peak; and the
    share in which a peak is told."""
    draw, held = np.random.default_rng(0), {"alpha": 0, "beta": 0, "peak": 0, "told": 0}
    for _ in range(sweeps):
        fitted = fit(sweep(draw, runs, seed_sd, start_se), start=single(0.0, start_se))
        if not isinstance(fitted, Fit) or not fitted.alpha_interval or not fitted.beta_interval:
            continue
        held["alpha"] += fitted.alpha_interval[0] <= ALPHA <= fitted.alpha_interval[1]
        held["beta"] += fitted.beta_interval[0] <= BETA <= fitted.beta_interval[1]
        if fitted.peak is not None and fitted.peak_interval is not None:
            held["told"] += 1
            held["peak"] += fitted.peak_interval[0] <= PEAK <= fitted.peak_interval[1]
    told = held.pop("told")
    return {
        "alpha": held["alpha"] / sweeps,
        "beta": held["beta"] / sweeps,
        "peak": held["peak"] / told if told else math.nan,
        "told": told / sweeps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=400)
    sweeps = parser.parse_args().sweeps
    print("| runs | sd over seeds | error of SFT | α held | β held | peak held | peak told |")
    print("|---" * 7 + "|")
    for runs in (4, 5, 8, 15):
        for seed_sd, start_se in (
            (0.0, 0.0),
            (0.15, 0.0),
            (0.15, 0.015),
            (0.15, 0.08),
            (0.0, 0.08),
        ):
            row = coverage(runs, seed_sd, start_se, sweeps).values()
            cells = " | ".join(f"{share:.1%}" for share in row)
            print(f"| {runs} | {seed_sd:g} | {start_se:g} | {cells} |")


if __name__ == "__main__":
    main()

"""Gao et al. (arXiv 2210.10760) at small scale: how gold falls as the policy leaves SFT.

    python -m benchmarks.overoptimisation                       # half an hour on 2 cores
    python -m benchmarks.overoptimisation --pairs 200 800 --seeds 0 1 2

`experiment=gao` once for each number of preference pairs: five coefficients and five seeds, each
seed with a reward model of its own, an evaluation every 4 iterations. The same command goes on
where it was. Prints Markdown.

- **Fits** of R(d) = d (alpha - beta log d), d = sqrt(KL), to the evaluations of all runs of a size;
  intervals are a jackknife over seeds (the runs of a seed share a reward model), with the error of
  SFT's own gold. Best of n of the same reward models: R(d) = d (alpha - beta d).
- **Does the penalty move the frontier?** Gold of a coefficient's runs where they pass a KL, less
  that of the runs without penalty of the same seed at that KL (linear in sqrt(KL) between
  evaluations), in the mean over seeds with a 95 % t interval.
- **Best of n beside PPO**: gold of best of n at its KL less that of the runs without penalty there.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.frontier.matched import difference, reward_at
from benchmarks.speed import one_thread
from benchmarks.speed.commands import cost_of
from benchmarks.speed.report import machine, show, table
from rlhf.compare.read import Run, best_of_n, evaluations, load
from rlhf.compare.statistics.along_kl.overoptimisation import Bounds, Fit, fit, gold_start
from rlhf.metrics import GOLD

PAIRS = (200, 800, 3200)
SEEDS = (0, 1, 2, 3, 4)
KLS = (2.0, 5.0, 10.0, 20.0)
NS = (4, 16, 64)

Points = list[tuple[float, float]]  # (KL in nats, gold)


def trained(pairs: int, seeds: Sequence[int], folder: Path, words: Sequence[str]) -> list[Run]:
    sizes = [f"data.pairs={pairs}", f"seed={','.join(map(str, seeds))}"]
    cost_of(["experiment=gao", f"sweep=gao-{pairs}", *sizes, *words], folder)
    return [run for run in load(folder / "sweeps" / f"gao-{pairs}") if run.finished]


def seed_of(run: Run) -> int:
    return int(run.summary["seed"])


def curve(run: Run) -> Points:
    return [(point.kl, point.reward) for point in evaluations(run, GOLD)]


def accuracy(run: Run) -> float:
    """Of the run's reward model, on held-out pairs."""
    return float(run.summary["reward_model/accuracy"])


# --- fits


def by_seed(runs: Iterable[Run], start: float) -> list[Points]:
    """Of each seed (KL, gold less SFT's) of all its runs, SFT itself left out."""
    points: dict[int, Points] = defaultdict(list)
    for run in runs:
        points[seed_of(run)] += [(kl, gold - start) for kl, gold in curve(run)[1:]]
    return [points[seed] for seed in sorted(points)]


def kept_by_seed(runs: Iterable[Run], start: float) -> list[Points]:
    """Of each seed (KL, gold less SFT's) of best of n, n = 1 left out."""
    first = {seed_of(run): run for run in runs}
    return [
        [(kept.kl, kept.rewards[GOLD] - start) for kept in best_of_n([first[seed]]) if kept.n > 1]
        for seed in sorted(first)
    ]


def of_fit(name: str, fitted: Fit | str) -> list[str]:
    if isinstance(fitted, str):
        return [name, fitted, "", "", "", ""]
    peak = f"{fitted.peak_kl:.1f}" if math.isfinite(fitted.peak_kl) else "none"
    return [
        name,
        between(fitted.alpha, fitted.alpha_interval, 2),
        between(fitted.beta, fitted.beta_interval, 2),
        f"{peak}{of_bounds(fitted.peak_interval, 1)}",
        f"{fitted.gain(fitted.peak_kl):.2f}" if math.isfinite(fitted.peak_kl) else "-",
        f"{fitted.r2:.2f}",
    ]


def between(value: float, bounds: Bounds | None, digits: int) -> str:
    return f"{value:.{digits}f}{of_bounds(bounds, digits)}"


def of_bounds(bounds: Bounds | None, digits: int) -> str:
    return f" ({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})" if bounds else ""


# --- at matched KL


def moved(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A row for each coefficient above 0: at each KL gold less that without penalty."""
    by: dict[float, dict[int, Points]] = defaultdict(dict)
    for run in runs:
        by[float(run.summary["kl.coef"])][seed_of(run)] = curve(run)
    free = by.pop(0.0)
    for coef, curves in sorted(by.items()):
        yield [f"{coef:g}", *(at_kl(curves, free, kl) for kl in KLS)]


def at_kl(curves: dict[int, Points], free: dict[int, Points], kl: float) -> str:
    gaps = []
    for seed in sorted(curves.keys() & free.keys()):
        own, other = reward_at(curves[seed], kl), reward_at(free[seed], kl)
        if own is not None and other is not None:
            gaps.append(own - other)
    return shown(gaps)


def efficiency(runs: Sequence[Run]) -> Iterator[list[str]]:
    """A row for each n: best of n less PPO without penalty at its KL."""
    free = {seed_of(run): run for run in runs if float(run.summary["kl.coef"]) == 0}
    for n in NS:
        gaps, golds, kl = [], [], math.nan
        for run in free.values():
            for kept in best_of_n([run]):
                if kept.n == n:
                    kl, gold = kept.kl, kept.rewards[GOLD]
                    golds.append(gold)
                    if (other := reward_at(curve(run), kl)) is not None:
                        gaps.append(gold - other)
        if golds:
            yield [str(n), f"{kl:.2f}", f"{statistics.fmean(golds):.2f}", shown(gaps)]


def shown(gaps: Sequence[float]) -> str:
    gap = difference(gaps)
    if gap is None:
        return "-"
    return f"{gap}{'' if gap.holds_zero else ' *'} (n = {gap.n})"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overoptimisation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=Path("outputs/overoptimisation"))
    parser.add_argument("--pairs", type=int, nargs="+", default=PAIRS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("words", nargs="*", help="overrides for every command")
    args = parser.parse_args(argv)
    one_thread()
    show(machine() + "\n")
    folder = args.folder.resolve()
    sizes = {pairs: trained(pairs, args.seeds, folder, args.words) for pairs in args.pairs}
    show_fits(sizes)
    for pairs, runs in sizes.items():
        show(
            f"\n{pairs} pairs: gold at a KL less that without penalty (coefficient by KL in nats)\n"
        )
        show(table(["coefficient", *(f"{kl:g}" for kl in KLS)], list(moved(runs))))
        show(
            f"\n{pairs} pairs: best of n, and its gold less that of PPO without penalty at its KL\n"
        )
        show(table(["n", "KL, nats", "gold", "less PPO's"], list(efficiency(runs))))


def show_fits(sizes: dict[int, list[Run]]) -> None:
    rows, ways = [], ["alpha", "beta", "peak, nats", "gain there", "R²"]
    for pairs, runs in sizes.items():
        first = next(iter(runs))
        start = gold_start(runs, best_of_n([first]))
        right = {seed_of(run): accuracy(run) for run in runs}
        name = f"{pairs} pairs, accuracy {statistics.fmean(right.values()):.3f}"
        ppo = fit(by_seed(runs, start.mean), start=start)
        kept = fit(kept_by_seed(runs, start.mean), form="best_of_n", start=start)
        rows += [of_fit(f"{name}: PPO", ppo), of_fit(f"{name}: best of n", kept)]
    show(table(["", *ways], rows))


if __name__ == "__main__":
    main()

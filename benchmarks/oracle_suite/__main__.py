"""The suite's tables: what its problems tell apart, and what algorithms reach there.

    python -m benchmarks.oracle_suite                              # power; PPO with three seeds
    python -m benchmarks.oracle_suite --algorithms ppo rloo dpo    # others of conf/algorithm
    python -m benchmarks.oracle_suite --algorithms --variants "lr 1e-3" --seeds 0    # variants.py
    python -m benchmarks.oracle_suite --algorithms grpo --words ppo.responses_per_prompt=4
    python -m benchmarks.oracle_suite --algorithms ppo rloo dpo --budget 20 512 --betas 1

Every algorithm trains from the same SFT policies with the same number of responses: 480 iterations
of 1,024, or those of --budget; most variants of PPO have fewer. The table says how many it were.
The coefficient of PPO falls to its value, as in the experiment; with --budget it is fixed for all.
Prints Markdown and writes the same numbers to <folder>/results.json; the same command goes on where
it was. One thread, one run after another.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from benchmarks.oracle_suite.power import ascent_of, known_of, power_table
from benchmarks.oracle_suite.problems import BETAS, COUNT, JUDGED, SOLVED
from benchmarks.oracle_suite.results import judged_at, reached_table, shares_table, solved_table
from benchmarks.oracle_suite.runs import FALLING, Problem, budget, reached, words_of
from benchmarks.oracle_suite.variants import VARIANTS
from benchmarks.speed.report import machine, show, table, write_json


def chosen(args: argparse.Namespace) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(label, overrides) of everything that is trained."""
    more = tuple(args.words)
    own = f" {' '.join(more)}" if more else ""
    for algorithm in args.algorithms:
        falling = FALLING if algorithm.startswith("ppo") else ()
        few = budget(algorithm, *args.budget) if args.budget else falling
        each = f", {args.budget[0]} x {args.budget[1]}" if args.budget else ""
        yield f"{algorithm}{each}{own}", (*words_of(algorithm), *few, *more)
    for name in args.variants:
        yield f"ppo, {name}{own}", (*VARIANTS[name], *more)


def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    where, folder = machine(), args.folder.resolve()
    show(f"{where}\n")
    problems = [Problem(number, folder) for number in args.problems]
    power = [row for problem in problems for row in known_of(problem, BETAS)]
    for row in power:
        if row["beta"] in {*args.ascent, *args.betas}:
            ascent = ascent_of(
                *(Problem(row["problem"], folder), row["beta"], folder / "power"),
                train=not args.finished,
            )
            row |= ascent
    show("Shares of the gain that known policies have, %:\n")
    show(table(*power_table(power)))
    rows: list[dict[str, Any]] = []
    known = {(row["problem"], row["beta"]): row for row in power}
    for label, words in chosen(args):
        for problem, beta, seed in product(problems, args.betas, args.seeds):
            row = reached(problem, beta, seed, label, words, train=not args.finished)
            if row:
                rows.append(judged_at(row, known[problem.number, beta]))
    if rows:
        show("What was reached: median over the seeds, and the range:\n")
        show(table(*reached_table(rows, power)))
        show("The same, shares of the gain in percent, a line an algorithm:\n")
        show(table(*shares_table(rows)))
        show(
            f"Problems with at least {SOLVED:.0%} of exact gradient ascent's share at each"
            " coefficient >= 0.1 that was run:\n"
        )
        show(table(*solved_table(rows, power)))
    results = {"power": power, "reached": rows}
    write_json(folder / "results.json", where, results)


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.oracle_suite",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--algorithms", nargs="*", default=["ppo"], help="of conf/algorithm")
    parser.add_argument("--variants", nargs="*", default=[], choices=[*VARIANTS])
    parser.add_argument("--words", nargs="*", default=[], help="overrides for all of them")
    parser.add_argument("--problems", nargs="*", type=int, default=[*range(1, COUNT + 1)])
    parser.add_argument(
        "--betas", nargs="*", type=float, default=[*JUDGED], help="that algorithms are trained at"
    )
    parser.add_argument(
        "--ascent",
        nargs="*",
        type=float,
        default=[*BETAS],
        help="further coefficients of exact gradient ascent, which takes minutes",
    )
    parser.add_argument(
        "--budget",
        nargs=2,
        type=int,
        metavar=("ITERATIONS", "ROLLOUT"),
        help="of all algorithms the same number of responses, and of optimizer steps on them",
    )
    parser.add_argument(
        "--finished", action="store_true", help="print what is there, and train nothing"
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("oracle_suite"))
    return parser.parse_args(words)


if __name__ == "__main__":
    main(parsed())

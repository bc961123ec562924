"""What a command takes before its first iteration, with the stages before PPO in the cache.

    python -m benchmarks.start                     # a minute
    python -m benchmarks.start --turns 5 --json FILE data=micro

A run of the defaults trains SFT and reward model; then each turn is the command of one iteration
with another coefficient, tracking on. "First iteration": seconds on the clock from the command to
the beginning of PPO's first iteration. CPU seconds are of the whole command, its one iteration, the
evaluations and the end among them. Whatever follows the options goes to every command.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.speed import one_thread
from benchmarks.speed.commands import cost_of
from benchmarks.speed.report import machine, middle, show, table, write_json


def started(folder: Path, coef: str) -> float:
    """Unix seconds at which the first iteration of the run with this coefficient began: at the end
    of the evaluation before it."""
    (file,) = folder.glob(f"outputs/*/kl{coef}-*/timings.jsonl")
    return float(json.loads(file.read_text().splitlines()[0])["time"])


def turn(coef: str, words: list[str], folder: Path) -> dict[str, float]:
    began = time.time()
    cost = cost_of([f"kl.coef={coef}", "ppo.iterations=1", *words], folder)
    return {"first iteration": started(folder, coef) - began, "cpu": cost.cpu, "wall": cost.wall}


def main() -> None:
    args = parser().parse_args()
    one_thread()
    where = machine()
    show(f"{where}\n")
    turns: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        turn("0.05", args.words, folder)
        for number in range(args.turns):
            turns.append(turn(f"{0.1 * (number + 1):g}", args.words, folder))
            write_json(args.json, where, turns)
    columns = {name: middle([each[name] for each in turns], 1) for name in turns[0]}
    titles = ("n", "first iteration, s", "whole command, CPU-s", "whole command, s")
    show(table(titles, [[len(turns), *columns.values()]]))


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("words", nargs="*", help="overrides for every command")
    whole.add_argument("--turns", type=int, default=5)
    whole.add_argument("--json", type=Path)
    return whole


if __name__ == "__main__":
    main()

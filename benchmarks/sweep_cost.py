"""What a sweep over the KL coefficient costs against as many separate runs, and against as many
runs of TRL's speed.

    python -m benchmarks.sweep_cost                             # 8 coefficients, 10 iterations
    python -m benchmarks.sweep_cost --turns 5 --separate 2 --vs-trl vs_trl.json --json FILE
    python -m benchmarks.sweep_cost --coefficients 4 --iterations 40 data.demonstrations=400
    python -m benchmarks.sweep_cost --jobs 1                    # of the sweep, at a time

Whatever follows the options goes to every command. Each turn is the sweep in an empty folder, then
the separate runs, each in an empty folder of its own, so that each trains SFT and reward model:
the commands that users give, with Lightning, records, MLflow, and the comparison at the sweep's
end. `--separate N` runs only so many and counts the coefficients' number of their mean: they
differ by the coefficient alone. A sweep has as many jobs at a time as there are cores, unless
`--jobs` says otherwise: those that share a core's units or caches lengthen each other's CPU
seconds, which the separate runs, one after the other, do not.

Time is CPU seconds of all processes of a command, those included that it leaves behind (the server
that jobs are forked from), one thread each. Linux only: the others do not tell it.

**A run of TRL's speed** is composed: of a separate run the share of its seconds that each stage
took, times how much longer the stage takes with TRL, as `benchmarks.vs_trl --json` measured it (PPO
without TRL's own garbage collections; SFT and reward model in the best of its modes). Start and end
stay ours. `--trl-run SECONDS` gives the CPU seconds of such a run outright.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import one_thread
from benchmarks.speed.commands import Cost, cost_of
from benchmarks.speed.report import machine, middle, ratios, show, table, write_json

CASES = {"ppo": ("quick", "ragged", "full"), "sft": ("ragged",), "reward_model": ("ragged",)}

PARTS = {
    "sft": "SFT, with what is imported beside it",
    "reward_model": "reward model",
    "ppo": "PPO: first evaluation, iterations, checkpoints",
    "else": "all else: imports, plan, data, MLflow, best of n, comparison",
}
STAGES = {
    "sft": ("outputs/artifacts/sft/*",),
    "reward_model": ("outputs/artifacts/reward_model/*",),
    "ppo": ("outputs/*/*", "sweeps/*/*"),
}


def stage_seconds(folder: Path, kind: str = "seconds") -> dict[str, float]:
    """Seconds of each stage that a run or a sweep trained, by the records; of `cpu` those of
    processors, MLflow's thread among them."""
    files = {
        name: [file for place in places for file in folder.glob(f"{place}/timings.jsonl")]
        for name, places in STAGES.items()
    }
    return {
        name: sum(json.loads(line)[kind] for file in own for line in file.open())
        for name, own in files.items()
    }


def parts(folder: Path, cpu: float) -> dict[str, float]:
    """CPU seconds of a command by stage, and all others."""
    stages = stage_seconds(folder, "cpu")
    return {**stages, "else": cpu - sum(stages.values())}


def slower(results: Mapping[str, Any]) -> dict[str, float]:
    """How many times as long each stage takes with TRL, of what `vs_trl` measured: of the case next
    to the quickstart's size. A stage that it did not measure has 1."""
    factors = {}
    for stage, cases in CASES.items():
        measured = results.get(stage, {})
        case = next((measured[name] for name in cases if name in measured), None)
        factors[stage] = 1.0 if case is None else _factor(stage, case)
    return factors


def _factor(stage: str, case: Mapping[str, Any]) -> float:
    if stage == "ppo":
        pair = ([unit["total"] for unit in case[side]] for side in ("trl", "ours"))
        return statistics.median(ratios(*pair))
    ours = [unit["training"] for unit in case["ours"]]
    modes = [[unit["training"] for unit in units] for units in case["trl"].values()]
    return statistics.median(ratios(min(modes, key=statistics.median), ours))


def as_trl(run: Cost, stages: Mapping[str, float], factors: Mapping[str, float]) -> float:
    """CPU seconds of a run whose stages take as long as TRL's: cpu (1 + sum share (factor - 1)),
    share = seconds of the stage / seconds of the run."""
    more = sum(seconds / run.wall * (factors[name] - 1) for name, seconds in stages.items())
    return run.cpu * (1 + more)


def coefficients(count: int) -> list[str]:
    return [f"{0.02 * (i + 1):g}" for i in range(count)]


def turn(args: argparse.Namespace, work: Path, factors: Mapping[str, float]) -> dict[str, Any]:
    """One sweep, and the separate runs after it."""
    coefs = coefficients(args.coefficients)
    words = [f"ppo.iterations={args.iterations}", *args.words]
    several = [f"kl.coef={','.join(coefs)}", "hydra.mode=MULTIRUN"]
    several += [f"hydra.launcher.jobs={args.jobs}"] if args.jobs else []
    sweep = cost_of([*several, *words], work / "sweep")
    own, peers, by_part = list[float](), list[float](), list[dict[str, float]]()
    for coef in coefs[: args.separate]:
        folder = work / coef
        run = cost_of([f"kl.coef={coef}", *words], folder)
        own.append(run.cpu)
        by_part.append(parts(folder, run.cpu))
        peers.append(args.trl_run or as_trl(run, stage_seconds(folder), factors))
    numbers = {
        "sweep": sweep.cpu,
        "separate": args.coefficients * statistics.mean(own),
        "trl": args.coefficients * statistics.mean(peers),
    }
    means = {p: statistics.mean(each[p] for each in by_part) for p in by_part[0]}
    both = {
        "sweep": parts(work / "sweep", sweep.cpu),
        "separate": {p: args.coefficients * mean for p, mean in means.items()},
    }
    return {**numbers, "sweep_wall": sweep.wall, "parts": both}


def show_turns(turns: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    column = {name: [each[name] for each in turns] for name in ("sweep", "separate", "trl")}
    counted = "" if args.separate >= args.coefficients else f" ({args.separate} were run)"
    rows = [
        ["the sweep", len(turns), middle(column["sweep"], 1), ""],
        [
            f"{args.coefficients} separate runs{counted}",
            *(len(turns), middle(column["separate"], 1)),
            middle(ratios(column["sweep"], column["separate"])),
        ],
    ]
    if args.vs_trl or args.trl_run:
        rows.append(
            [
                f"{args.coefficients} runs of TRL's speed, composed",
                *(len(turns), middle(column["trl"], 1)),
                middle(ratios(column["sweep"], column["trl"])),
            ]
        )
    titles = ("", "n", "CPU seconds of all processes (median, range)", "the sweep's share")
    show(f"{args.coefficients} coefficients, {args.iterations} iterations each:\n")
    show(table(titles, rows))
    show("CPU seconds by part (median, range):\n")
    both = ("", "the sweep", f"{args.coefficients} separate runs")
    show(table(both, [_row(name, turns) for name in PARTS]))


def _row(name: str, turns: Sequence[Mapping[str, Any]]) -> list[str]:
    both = ([each["parts"][side][name] for each in turns] for side in ("sweep", "separate"))
    return [PARTS[name], *(middle(column, 1) for column in both)]


def main() -> None:
    args = parser().parse_args()
    one_thread()
    where = machine()
    show(f"{where}\n")
    measured = json.loads(args.vs_trl.read_text()) if args.vs_trl else {"results": {}}
    factors = slower(measured["results"])
    turns: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as work:
        for number in range(args.turns):
            turns.append(turn(args, Path(work) / str(number), factors))
            results = {"turns": turns, "slower": factors, "coefficients": args.coefficients}
            more = {"iterations": args.iterations, "jobs": args.jobs}
            write_json(args.json, where, {**results, **more})
    show_turns(turns, args)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("words", nargs="*", help="overrides for every command")
    whole.add_argument("--coefficients", type=int, default=8)
    whole.add_argument("--iterations", type=int, default=10)
    whole.add_argument("--turns", type=int, default=1)
    whole.add_argument("--jobs", type=int, help="of the sweep, at a time")
    whole.add_argument("--separate", type=int, default=8, help="runs, of the coefficients' number")
    whole.add_argument("--vs-trl", type=Path, metavar="JSON")
    whole.add_argument("--trl-run", type=float, metavar="SECONDS")
    whole.add_argument("--json", type=Path)
    return whole


if __name__ == "__main__":
    main()

"""What each precision does to KL and reward: the reviews, three seeds each.

    python benchmarks/precision.py            # on a CPU, as in docs/explanation/precision.md
    python benchmarks/precision.py --shared
    python benchmarks/precision.py --device gpu --iterations 60
    python benchmarks/precision.py --seeds 0 1 --iterations 5 model=smollm2   # words of rlhf

Every stage of a run is trained in its precision: SFT and the reward model once (their seeds are
their own), PPO once a seed. With --shared all begin from those of 32-true, so that PPO alone
differs. Prints two tables in Markdown: means over the seeds with their standard deviation, and the
differences from 32-true at the same seed. The runs stay in --work, and a run that is there already
is not made again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rlhf

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")
BRIEF = ("best_of_n=none", "tracking=none", "callbacks=none", "evaluation.every=1000000")
# of the last record: the evaluation of the final policy
FINAL = {
    "KL, nats a response": "eval/kl/sequence_nats",
    "gold reward": "eval/reward/gold",
    "reward model's": "eval/reward/proxy",
}


def rows_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def measured(run: Path) -> dict[str, float]:
    """The numbers of one run, by the titles of the table."""
    rows = rows_of(run)
    trained = [row for row in rows if "rollout/logp_gap" in row]
    times = (run / "timings.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = [json.loads(line)["seconds"] for line in times][1:]
    return {
        **{title: rows[-1][name] for title, name in FINAL.items()},
        "first KL": trained[0]["kl/sequence_nats"],
        "largest logp gap": max(row["rollout/logp_gap"] for row in trained),
        "beyond rounding": sum(row["rollout/logp_off"] for row in trained),
        "s an iteration": statistics.median(seconds),
    }


def stages_of(run: Path) -> list[str]:
    """The words by which another run begins from this one's SFT policy and reward model."""
    artifacts = run.resolve().parents[1] / "artifacts"
    made = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["fingerprints"]
    stages = ("sft", "reward_model")
    return [f"{stage}.path={artifacts / stage / made[stage]}" for stage in stages]


def run(precision: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """The numbers of the run, which is made where it is not there yet."""
    first = args.work / "outputs" / f"precision-{PRECISIONS[0]}"
    shared = args.shared and precision != PRECISIONS[0]
    study = f"precision-{precision}{'-shared' if shared else ''}"
    words = [*BRIEF, f"trainer={args.device}", f"ppo.iterations={args.iterations}", *args.words]
    places = [f"paths.outputs={args.work.resolve() / 'outputs'}", f"study={study}", f"seed={seed}"]
    given = stages_of(next(first.glob("kl*"))) if shared else []
    rlhf.run(rlhf.compose([*words, *places, f"trainer.precision={precision}", *given]))
    (folder,) = (args.work / "outputs" / study).glob(f"*seed{seed}*")
    return measured(folder)


def spread(values: list[float]) -> str:
    """Mean ± standard deviation over the seeds; 0 where all are."""
    if not any(values):
        return "0"
    mean = statistics.mean(values)
    return f"{mean:.4g}" + (f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else "")


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    lines = [list(titles), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    print("".join(f"| {' | '.join(line)} |\n" for line in lines), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("precision-benchmark"))
    parser.add_argument("--shared", action="store_true", help="one SFT policy and reward model")
    parser.add_argument("words", nargs="*", help="further words of rlhf's command line")
    args = parser.parse_args()
    began, results = time.time(), dict[str, list[dict[str, float]]]()
    for precision in PRECISIONS:
        results[precision] = [run(precision, seed, args) for seed in args.seeds]
    titles = list(results[PRECISIONS[0]][0])
    columns = {p: {t: [r[t] for r in runs] for t in titles} for p, runs in results.items()}
    table(["precision", *titles], ([p, *map(spread, c.values())] for p, c in columns.items()))
    first = columns[PRECISIONS[0]]
    table(
        ["less 32-true, same seed", *FINAL],
        (
            [p, *(spread([a - b for a, b in zip(c[t], first[t], strict=True)]) for t in FINAL)]
            for p, c in columns.items()
            if p != PRECISIONS[0]
        ),
    )
    print(f"{len(args.seeds)} seeds, {args.iterations} iterations, {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()

"""How often a run leaves SFT for something worse in its first iterations, and where it ends.

    rlhf -m experiment=quickstart sweep=first_iterations kl.coef=0.05 evaluation.every=1 \
      ppo.lr_warmup=0.1,0.25 seed=0,1,2,3,4,5,6,7,8,9
    python benchmarks/first_iterations.py sweeps/first_iterations ppo.lr_warmup

and with another SFT policy and reward model for each seed, into one sweep:

    for k in 1 2 3 4 5 6 7 8 9 10; do
      rlhf -m experiment=quickstart sweep=pipelines kl.coef=0.05 evaluation.every=1 best_of_n=none \
        ppo.lr_warmup=0.1,0.25 seed=$k sft.seed=$k reward_model.seed=$k
    done
    python benchmarks/first_iterations.py sweeps/pipelines ppo.lr_warmup

A run has "broken" if, at an evaluation in the first third of it, the policy is more than 1 nat per
response away from SFT and its gold reward is below SFT's: it paid KL for nothing. The explained
variance of the values is that of the first iteration, the least to the largest. At the end: mean
over seeds and 95 % interval by Student's t. Prints a Markdown table, a line a setting.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import t

from rlhf.compare.read import Run, load
from rlhf.metrics import GOLD, KL, PROXY

FAR = 1.0  # nats per response


def breaks(run: Run) -> bool:
    sft, *later = run.metrics
    return any(
        row[f"eval/{KL}"] > FAR and row[f"eval/{GOLD}"] < sft[f"eval/{GOLD}"]
        for row in later[: len(later) // 3]
    )


def mean_over_seeds(values: Sequence[float]) -> str:
    """1.57 (1.45 to 1.69)"""
    mean = fmean(values)
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return f"{mean:.2f} ({mean - half:.2f} to {mean + half:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, help="finished runs, evaluated every iteration")
    parser.add_argument("setting", help="the key that differs, such as ppo.lr_warmup")
    args = parser.parse_args()
    settings: dict[object, list[Run]] = {}
    for run in load(args.sweep):
        settings.setdefault(run.config[args.setting], []).append(run)
    print(
        f"| `{args.setting}` | explained variance | broken | gold reward | proxy reward |"
        " KL (nats per response) |"
    )
    print("|---|---|---|---|---|---|")
    for value, runs in sorted(settings.items(), key=lambda item: str(item[0])):
        ends = [
            mean_over_seeds([float(run.summary[key]) for run in runs]) for key in (GOLD, PROXY, KL)
        ]
        values = sorted(run.metrics[1]["ppo/explained_variance"] for run in runs)
        broken = f"{sum(map(breaks, runs))} of {len(runs)}"
        explained = f"{values[0]:.1f} to {values[-1]:.1f}"
        print(f"| {value} | {explained} | {broken} | {' | '.join(ends)} |")


if __name__ == "__main__":
    main()

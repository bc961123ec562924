"""What a real pretrained model learns here on two CPU cores, from one command each.

    make smollm2
    python benchmarks/smollm2.py sft             # held-out perplexity before and after
    python benchmarks/smollm2.py reward_model    # accuracy on held-out prompts, and bags of words'
    python benchmarks/smollm2.py ppo             # reward and KL at two coefficients, samples

Each gives `rlhf experiment=smollm2_<name>`, with whatever overrides follow, and prints what came
out with its wall time and the peak memory (resident, of the largest process: the jobs of a sweep
run side by side). The data is that of conf/experiment/smollm2_*.yaml.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rlhf.config.build import build
from rlhf.config.compose import compose, validate
from rlhf.data.records import Preference, Split
from rlhf.rundir.files import read_jsonl
from rlhf.rundir.read import read_json

MEGABYTES = 1 << (10 if sys.platform != "darwin" else 20)  # ru_maxrss counts KiB, on macOS bytes


def run(lines: Sequence[str]) -> None:
    """Gives the command, and prints its wall time and peak memory."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "rlhf", *lines], check=True)
    wall = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / MEGABYTES
    print(f"\n`rlhf {' '.join(lines)}`: {wall / 60:.1f} min, {peak / 1000:.2f} GB at most")


def stage_rows(lines: Sequence[str], stage: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The first and the last row of a stage's metrics: before training, and after."""
    config = validate(compose([*lines, "hydra.mode=RUN"]))
    summary = read_json(Path(config.paths.run_dir) / "summary.json")
    artifact = Path(config.paths.artifacts) / stage / summary["fingerprints"][stage]
    first, *_, last = read_jsonl(artifact / "metrics.jsonl")
    return first, last


def sft(lines: Sequence[str]) -> None:
    run(lines)
    first, last = stage_rows(lines, "sft")
    before, after = (row["val/perplexity"] for row in (first, last))
    print(f"held-out perplexity {before:.2f} before SFT, {after:.2f} after")


# --- reward model


def lengths(rows: Sequence[Preference]) -> Any:
    """[N, 2]: the difference in log characters, and in hundreds of characters."""
    pairs = np.array([(len(row.chosen), len(row.rejected)) for row in rows], dtype=float)
    return np.stack([np.log1p(pairs) @ [1, -1], pairs @ [0.01, -0.01]], axis=1)


def baselines(pairs: Split[Preference]) -> Iterator[tuple[str, float]]:
    """Held-out accuracy of logistic regressions on the difference of a pair: no intercept, so that
    the order of the two sides says nothing."""
    train, heldout = pairs.train, pairs.heldout
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    words.fit([text for row in train for text in (row.chosen, row.rejected)])

    def bags(rows: Sequence[Preference]) -> Any:
        chosen, rejected = ([getattr(row, side) for row in rows] for side in ("chosen", "rejected"))
        return words.transform(chosen) - words.transform(rejected)

    yield "the longer one", float((lengths(heldout)[:, 0] > 0).mean())
    for name, features in (
        ("TF-IDF", bags),
        ("TF-IDF and length", lambda rows: sparse.hstack([bags(rows), lengths(rows)]).tocsr()),
    ):
        x = features(train)
        both = sparse.vstack([x, -x])
        sides = np.repeat([1, 0], x.shape[0])
        model = LogisticRegression(fit_intercept=False, max_iter=2000).fit(both, sides)
        yield name, float((model.decision_function(features(heldout)) > 0).mean())


def reward_model(lines: Sequence[str]) -> None:
    run(lines)
    config = validate(compose([*lines, "hydra.mode=RUN"]))
    pairs = build(config.data).load().preferences
    _, last = stage_rows(lines, "reward_model")
    count = len(pairs.heldout)
    prompts = len({row.prompt for row in pairs.heldout})
    print(f"\n| judge | accuracy on {count:,} held-out pairs of {prompts} prompts |\n|---|---|")
    judges = (*baselines(pairs), (f"trained={config.reward_model.trained}", last["val/accuracy"]))
    for name, accuracy in judges:
        print(f"| {name} | {accuracy:.3f} |")


# --- PPO


def ppo(lines: Sequence[str]) -> None:
    """The samples of the last evaluation, each beside what the reference said to the prompt with
    the same random numbers."""
    run(lines)
    sweep = Path("sweeps") / validate(compose([*lines, "hydra.mode=RUN"])).sweep
    runs = sorted(path.parent for path in sweep.glob("*/summary.json"))
    said: dict[str, list[str]] = {}
    print("\n| setting | KL (nats a response) | reward | the reference's |\n|---|---|---|---|")
    for folder in runs:
        summary = read_json(folder / "summary.json")
        name = f"kl.coef={summary['kl.coef']:g}"
        print(
            f"| {name} | {summary['kl/sequence_nats']:.2f} ± {summary['kl/sequence_nats_se']:.2f}"
            f" | {summary['reward/gold']:.3f} | {summary['sft/reward/gold']:.3f} |"
        )
        rows = read_jsonl(folder / "samples.jsonl")
        last = max(row["iteration"] for row in rows)
        for row in rows:
            if row["iteration"] == 0:
                said.setdefault(row["prompt"], [f"the reference: {json.dumps(row['response'])}"])
            elif row["iteration"] == last:
                said[row["prompt"]].append(f"{name}: {json.dumps(row['response'])}")
    for prompt, responses in said.items():
        print("\n" + "\n    ".join([prompt, *responses]))


TASKS = {"sft": sft, "reward_model": reward_model, "ppo": ppo}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("overrides", nargs="*", help="added to the command")
    given = parser.parse_args()
    TASKS[given.task]([f"experiment=smollm2_{given.task}", *given.overrides])


if __name__ == "__main__":
    main()

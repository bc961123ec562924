"""How far two processes end from one: weights of every stage and metrics of PPO, by strategy.

    python benchmarks/ranks.py [key=value ...]      # two gloo processes on CPUs, some minutes

Each strategy is a command of its own in a folder of its own. A weight's difference is absolute; a
metric's is relative to the larger of the two values and 1. Responses are the same where the column
says so, so that what differs is the order of sums.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import load_file

SMALL = (
    *("tracking=none", "callbacks=none", "best_of_n=none", "trainer.threads=1"),
    *("data.demonstrations=300", "data.pairs=200", "sft.epochs=1", "reward_model.epochs=1"),
    *("ppo.iterations=4", "evaluation.every=1", "kl/controller=adaptive"),
)
TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.precision=32-true")
STRATEGIES = {"single": (), "ddp": ("trainer=ddp", *TWO), "fsdp": ("trainer=fsdp", *TWO)}
STAGES = ("sft", "reward_model", "ppo")


def run(words: list[str], folder: Path) -> Path:
    """The folder of the run that a command made."""
    command = [sys.executable, "-m", "rlhf", *words, f"paths.outputs={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ})
    (summary,) = (folder / "default").glob("*/summary.json")
    return summary.parent


def weights(outputs: Path, stage: str) -> dict[str, object]:
    (file,) = (outputs / "artifacts" / stage).glob("*/*model.safetensors")
    return load_file(file)


def apart(one: Path, other: Path, stage: str) -> float:
    mine, theirs = weights(one, stage), weights(other, stage)
    assert mine.keys() == theirs.keys()
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)  # type: ignore[operator]


def rows(run: Path, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]


def metrics_apart(one: Path, other: Path) -> float:
    def differences() -> Iterator[float]:
        for mine, theirs in zip(
            rows(one, "metrics.jsonl"), rows(other, "metrics.jsonl"), strict=True
        ):
            assert mine.keys() == theirs.keys()
            for name, value in mine.items():
                a, b = float(value), float(theirs[name])  # type: ignore[arg-type]
                yield abs(a - b) / max(abs(a), abs(b), 1.0)

    return max(differences())


def same_responses(one: Path, other: Path) -> str:
    pairs = [*zip(rows(one, "samples.jsonl"), rows(other, "samples.jsonl"), strict=True)]
    same = sum(a["response"] == b["response"] for a, b in pairs)
    return f"{same} of {len(pairs)}"


def main(words: list[str]) -> None:
    print("| against one process | SFT | reward model | policy | metrics | samples that agree |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory() as work:
        runs = {}
        for name, how in STRATEGIES.items():
            runs[name] = run([*SMALL, *how, *words], Path(work) / name)
            if name == "single":
                continue
            one, other = (Path(work) / "single", Path(work) / name)
            moved = " | ".join(f"{apart(one, other, stage):.1e}" for stage in STAGES)
            pair = runs["single"], runs[name]
            print(f"| {name}, 2 processes | {moved} | {metrics_apart(*pair):.1e} | ", end="")
            print(f"{same_responses(*pair)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

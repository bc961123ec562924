"""Estimated beside measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.memory.stage import ADAPTERS, QUIET, in_child
from benchmarks.memory.tables import gigabytes, table

SMALL = (
    *("data.demonstrations=400", "data.pairs=80", "data.prompts=96", "sft.epochs=1"),
    *("reward_model.epochs=1", "reward_model.normalize_samples=16", "ppo.iterations=3"),
    *("ppo.rollout_size=32", "ppo.minibatch_size=16", "ppo.inner_epochs=1"),
    *("evaluation.prompts=16", "evaluation.every=3"),
)
TINY = ("model=tiny", "model.heads=8")
# many rows: activations decide; few: weights do
WIDE = ("sft.batch_size=128", "reward_model.batch_size=64", "ppo.minibatch_size=32")
SHAPES: dict[str, tuple[str, ...]] = {
    "4M, wide batches": (
        *TINY,
        *("model.hidden_size=256", "model.layers=4", *WIDE),
        *("data.max_response_tokens=40", "sft.batch_size=256"),
    ),
    "30M, small batches": (
        *TINY,
        *("model.hidden_size=512", "model.layers=7", "sft.batch_size=8"),
        *("reward_model.batch_size=4", "ppo.minibatch_size=8", "data.max_response_tokens=24"),
    ),
    "30M, wide batches": (*TINY, "model.hidden_size=512", "model.layers=7", *WIDE),
}
SMOLLM2 = (
    *("sft.batch_size=4", "sft.max_rows=12", "reward_model.batch_size=2"),
    *("reward_model.max_rows=6", "ppo.rollout_size=8", "ppo.minibatch_size=4"),
    *("data.max_response_tokens=24", "ppo.iterations=2", "evaluation.prompts=8"),
    *("reward_model.normalize_samples=8", "sft.optimizer.lr=1e-5", "ppo.optimizer.lr=1e-6"),
)


def measure(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    shapes = {name: SHAPES[name] for name in SHAPES if not args.shapes or name in args.shapes}
    if args.smollm2:
        shapes["SmolLM2-135M"] = ("model=hf", f"model.path={args.smollm2.resolve()}", *SMOLLM2)
    for number, (shape, words) in enumerate(shapes.items()):
        for adapter in args.adapters:
            where = (f"paths.outputs={work / f'{number}-{adapter}'}", f"trainer={args.trainer}")
            for stage in args.stages:
                lines = [*words[:2], *QUIET, *SMALL, *words[2:], *ADAPTERS[adapter], *where]
                if (result := in_child(stage, [*lines, *args.overrides])) is not None:
                    yield {"model": shape, "adapter": adapter, **result}


def show_measured(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("model", "adapter", "stage", "measured", "estimated", "estimated / measured"),
        (
            (
                *(row["model"], row["adapter"], row["stage"]),
                *(gigabytes(row["measured"]), gigabytes(row["estimated"])),
                f"{row['estimated'] / row['measured']:.2f}",
            )
            for row in rows
        ),
    )

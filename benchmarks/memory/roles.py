"""PPO's four roles on SmolLM2, with full weights and with adapters on one backbone."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.memory.stage import ADAPTERS, QUIET, in_child
from benchmarks.memory.tables import gigabytes, table


def four_roles(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    names = {"full": "none", "lora": "lora"}
    for role in args.roles.split(","):
        lines = [
            *("model=hf", f"model.path={args.folder.resolve()}", "sft=none", *QUIET),
            *("data.pairs=40", "data.prompts=128", "data.max_response_tokens=24"),
            *("reward_model.epochs=1", "reward_model.batch_size=4", "reward_model.max_rows=24"),
            *("reward_model.normalize_samples=16", "evaluation.prompts=16"),
            *(f"ppo.iterations={args.iterations}", f"evaluation.every={args.iterations}"),
            *("ppo.rollout_size=8", "ppo.minibatch_size=4", "ppo.inner_epochs=1"),
            *("ppo.value_init=policy", f"ppo.checkpoint_every={args.iterations}"),
            *(f"ppo.optimizer.lr={RATES[role]}", *ADAPTERS[names[role]]),
            *(f"paths.outputs={work / role}", *args.overrides),
        ]
        if in_child("reward_model", lines) is None:  # PPO alone is measured
            continue
        if (result := in_child("ppo", lines)) is not None:
            yield {"roles": role, **result}


TOLD = {  # of the summary; every kind of roles has a reward model of its own
    "reward/proxy": "own reward",
    "reward/gold": "gold reward",
    "kl/sequence_nats": "KL, nats",
    "kl/sequence_nats_se": "its error",
}
RATES = {"full": "1e-5", "lora": "2e-4"}  # adapters begin at 0 and take larger steps


def show_roles(rows: Iterable[Mapping[str, Any]]) -> None:
    titles = ("PPO with", "measured", "estimated", "s an iteration", *TOLD.values())
    table(
        titles,
        (
            (
                *(row["roles"], gigabytes(row["measured"]), gigabytes(row["estimated"])),
                f"{statistics.median(row['seconds'][1:] or row['seconds']):.1f}",
                *(f"{row['summary'].get(name, float('nan')):.3f}" for name in TOLD),
            )
            for row in rows
        ),
    )

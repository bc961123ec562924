"""The product, as users run it: `rlhf.run` with Lightning, records, progress and tracking."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import HELDOUT, Case
from benchmarks.speed.clock import Clock, Numbers

CLOCK = "+callbacks.clock._target_=benchmarks.speed.clock.Clock"


def common(case: Case, folder: Path) -> list[str]:
    policy, reward = folder / "policy", folder / "reward"
    return [
        *("model=hf", f"model.path={policy}", "best_of_n=none", "study=speed", CLOCK),
        *(f"paths.outputs={folder / 'outputs'}", "rerun=true"),
        f"data.heldout_fraction={HELDOUT}",
        *("sft=none", f"reward_model.path={reward}"),
        *(["trainer=gpu"] if case.device == "cuda" else []),
        f"trainer.precision={'bf16-mixed' if case.in_16_bits else '32-true'}",
    ]


def ppo_words(case: Case, folder: Path, iterations: int) -> list[str]:
    """The default settings of PPO; the batch, rates and coefficients are the peer's too."""
    return [
        *common(case, folder),
        *("ppo=default", "generation=sample", "evaluation=default"),
        *("data=files", "data.template=plain", f"data.prompts={folder / 'prompts.jsonl'}"),
        *(f"ppo.iterations={iterations}", f"ppo.rollout_size={case.rows}"),
        *(f"ppo.minibatch_size={case.minibatch}", f"ppo.inner_epochs={case.epochs}"),
        f"generation.max_new_tokens={case.response}",
        *("kl/controller=fixed", "kl.coef=0.05", "ppo.value_coef=0.1"),
        *("ppo.optimizer.lr=1e-6", "ppo.lr_schedule=constant", "ppo.lr_warmup=0.0"),
        # neither side evaluates or saves in the iterations that count
        *("evaluation.every=1000", "evaluation.prompts=2", "evaluation.samples=0"),
        "ppo.checkpoint_every=1000",
    ]


def supervised_words(stage: str, case: Case, folder: Path, epochs: int) -> list[str]:
    """SFT or reward model: `stage` is `sft` or `reward_model`."""
    part = {"sft": "demonstrations", "reward_model": "preferences"}[stage]
    most = case.prompts[1] + case.response + 2
    other = ("sft=", "reward_model.path")
    words = [word for word in common(case, folder) if not word.startswith(other)]
    own = [f"sft.path={folder / 'policy'}"] if stage == "reward_model" else []
    return [
        *words,
        *own,
        *(f"stage={stage}", f"{stage}=default", "data=files", "data.template=plain"),
        f"data.{part}={folder / f'{part}.jsonl'}",
        *(f"{stage}.epochs={epochs}", f"{stage}.batch_size={case.minibatch}"),
        *(f"{stage}.max_length={most}", f"{stage}.optimizer.lr=1e-6"),
        *(f"{stage}.lr_schedule=constant", f"{stage}.lr_warmup=0.0"),
        f"{stage}.checkpoint_every=1000",
    ]


def run(words: list[str], turn: Callable[[], None] = lambda: None) -> list[Numbers]:
    """The numbers of each iteration; between two of them `turn` is called."""
    import rlhf
    from rlhf.config.allow import allow

    allow("benchmarks")
    Clock.begin(turn)
    summary: Any = rlhf.run(rlhf.compose(words))
    assert summary
    return Clock.units


def clean(folder: Path) -> None:
    shutil.rmtree(folder / "outputs", ignore_errors=True)

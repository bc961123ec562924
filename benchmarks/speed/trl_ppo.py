"""TRL's PPOTrainer (1.12.0 is the last release that has one) on a case, one iteration a turn.

What differs from its defaults is what makes the work equal: float32 on a CPU (its default is bf16),
no gradient checkpointing (its default recomputes), 16 optimizer steps of a minibatch each,
temperature 1, no sample generations. It logs nowhere but to the screen; it clips no gradients.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.peak import allocated
from benchmarks.speed.cases import Case, training_rows
from benchmarks.speed.clock import Numbers, now

Boundary = Callable[[Numbers], None]


def work(
    case: Case, folder: Path, iterations: int, *, collects: bool
) -> Callable[[Boundary], None]:
    """`collects`: its two `gc.collect()` an iteration are left where they are; else they are taken
    out, and their time is measured after each turn."""

    def train(boundary: Boundary) -> None:
        trainer, watch = trainer_of(case, folder, iterations, boundary, collects=collects)
        watch.patch(trainer)
        trainer.train()

    return train


def trainer_of(
    case: Case, folder: Path, iterations: int, boundary: Boundary, *, collects: bool
) -> tuple[Any, Watch]:
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        TrainerCallback,
    )
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    # what its PPOTrainer asks, whose `bf16` alone computes in float32
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if case.in_16_bits else "no"
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    rows = [
        {"input_ids": tokenizer(row["prompt"]).input_ids}
        for row in training_rows(folder, "prompts")
    ]

    def scores() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(folder / "reward")

    def language() -> Any:
        return AutoModelForCausalLM.from_pretrained(folder / "policy")

    args = PPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=case.device == "cpu",
        bf16=case.in_16_bits,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        num_sample_generations=0,
        # one micro-batch is a minibatch, and each makes an optimizer step
        per_device_train_batch_size=case.rows,
        gradient_accumulation_steps=1,
        num_mini_batches=case.rows // case.minibatch,
        num_ppo_epochs=case.epochs,
        local_rollout_forward_batch_size=case.rows,
        total_episodes=case.rows * iterations,
        response_length=case.response,
        stop_token="eos",
        temperature=1.0,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        kl_coef=0.05,
        vf_coef=0.1,
    )
    watch = Watch(boundary, case.device, collects=collects)
    callback = type(
        "Boundaries", (TrainerCallback,), {"on_train_begin": watch.begin, "on_step_end": watch.end}
    )
    trainer = PPOTrainer(
        args=args,
        processing_class=tokenizer,
        model=language(),
        ref_model=language(),
        reward_model=scores(),
        value_model=scores(),
        train_dataset=Dataset.from_list(rows),
        callbacks=[callback()],
    )
    return trainer, watch


class Watch:
    """Measures its iterations: from the end of one to the end of the next."""

    def __init__(self, boundary: Boundary, device: str, *, collects: bool) -> None:
        self.boundary, self.device, self.collects = boundary, device, collects
        self.drawing = self.first = self.tokens = 0.0

    def patch(self, trainer: Any) -> None:
        """Lets its phases be timed; takes out its garbage collections where they are not to be."""
        from trl.experimental.ppo import ppo_trainer

        generate = ppo_trainer.batch_generation

        def timed(*arguments: Any, **named: Any) -> Any:
            began = now()
            sequences, logits = generate(*arguments, **named)
            self.drawing = now() - began
            length, pad = logits.shape[1], trainer.processing_class.pad_token_id
            self.tokens = float((sequences[:, -length:] != pad).sum())
            return sequences, logits

        ppo_trainer.batch_generation = timed
        if not self.collects:
            ppo_trainer.gc = SimpleNamespace(collect=lambda: 0)
        accumulate = trainer.accelerator.accumulate

        def noted(*models: Any) -> Any:
            self.first = self.first or now()
            return accumulate(*models)

        trainer.accelerator.accumulate = noted

    def begin(self, callback: Any, *arguments: Any, **named: Any) -> None:
        self.before, self.began = allocated(self.device), now()

    def end(self, callback: Any, *arguments: Any, **named: Any) -> None:
        ended = now()
        numbers = {
            "total": ended - self.began,
            "generation": self.drawing,
            "update": ended - self.first,
            "tokens": self.tokens,
            "bytes_before": self.before,
        }
        if not self.collects:
            gc.collect()
            gc.collect()
            numbers["collect"] = now() - ended
        self.boundary(numbers)
        self.first, self.began = 0.0, now()

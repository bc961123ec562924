"""TRL's SFTTrainer and RewardTrainer on a case, one epoch a turn.

Rows, batches, rates and float32 are the product's; its default of bf16 and of gradient
checkpointing is off. Modes: `padded`, its default; of SFT `by length`, whose batches are of rows of
like length (`train_sampling_strategy`, which refuses pairs), and `padding-free`, which lays a
batch's rows one after the other. `packing=True` is left out: its steps are of other numbers of
rows, and without padding it computes what `padding-free` does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.speed.cases import Case, training_rows
from benchmarks.speed.clock import Numbers, now

Boundary = Callable[[Numbers], None]
MODES: dict[str, dict[str, Any]] = {
    "padded": {},
    "by length": {"train_sampling_strategy": "group_by_length"},
    "padding-free": {"padding_free": True},
}


def modes(stage: str) -> list[str]:
    return [*MODES] if stage == "sft" else ["padded"]


def work(
    stage: str, mode: str, case: Case, folder: Path, epochs: int
) -> Callable[[Boundary], None]:
    def train(boundary: Boundary) -> None:
        trainer = trainer_of(stage, mode, case, folder, epochs, boundary)
        trainer.train()

    return train


def trainer_of(
    stage: str, mode: str, case: Case, folder: Path, epochs: int, boundary: Boundary
) -> Any:
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        TrainerCallback,
    )
    from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    common = {
        "output_dir": str(folder / f"trl-{stage}-{mode}"),
        "use_cpu": case.device == "cpu",
        "bf16": case.in_16_bits,
        "gradient_checkpointing": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "num_train_epochs": epochs,
        "per_device_train_batch_size": case.minibatch,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.01,
        "max_length": None,
        **MODES[mode],
    }
    marks = Marks(boundary)
    callback = type(
        "Epochs", (TrainerCallback,), {"on_epoch_begin": marks.begin, "on_epoch_end": marks.end}
    )
    if stage == "sft":
        return SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder / "policy"),
            args=SFTConfig(**common, completion_only_loss=True),
            train_dataset=Dataset.from_list(demonstrations(folder, tokenizer)),
            processing_class=tokenizer,
            callbacks=[callback()],
        )
    # ours begins with the SFT policy's backbone under a new head
    scores = AutoModelForSequenceClassification.from_pretrained(folder / "policy", num_labels=1)
    return RewardTrainer(
        model=scores,
        args=RewardConfig(**common),
        train_dataset=Dataset.from_list(preferences(folder, tokenizer)),
        processing_class=tokenizer,
        callbacks=[callback()],
    )


def demonstrations(folder: Path, tokenizer: Any) -> list[dict[str, list[int]]]:
    rows = []
    for row in training_rows(folder, "demonstrations"):
        prompt = tokenizer(row["prompt"]).input_ids
        answer = [*tokenizer(row["completion"]).input_ids, tokenizer.eos_token_id]
        counted = [0] * len(prompt) + [1] * len(answer)
        rows.append({"input_ids": prompt + answer, "completion_mask": counted})
    return rows


def preferences(folder: Path, tokenizer: Any) -> list[dict[str, list[int]]]:
    def ids(row: dict[str, str], side: str) -> list[int]:
        return [*tokenizer(row["prompt"] + row[side]).input_ids, tokenizer.eos_token_id]

    return [
        {f"{side}_ids": ids(row, side) for side in ("chosen", "rejected")}
        for row in training_rows(folder, "preferences")
    ]


class Marks:
    """The beginning and the end of its epochs."""

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary

    def begin(self, callback: Any, *arguments: Any, **named: Any) -> None:
        self.began = now()

    def end(self, callback: Any, *arguments: Any, **named: Any) -> None:
        self.boundary({"training": now() - self.began})

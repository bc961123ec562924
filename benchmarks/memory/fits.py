"""Which model fits where, as the estimate has it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.memory.stage import STAGES
from benchmarks.memory.tables import gigabytes, table

SIZES: dict[str, dict[str, Any]] = {  # the shapes of SmolLM2, Llama 3.2 and Llama 2
    "135M": {"hidden": 576, "inner": 1536, "layers": 30, "heads": 9, "kv": 3, "words": 49_152},
    "362M": {"hidden": 960, "inner": 2560, "layers": 32, "heads": 15, "kv": 5, "words": 49_152},
    "1B": {"hidden": 2048, "inner": 8192, "layers": 16, "heads": 32, "kv": 8, "words": 128_256},
    "3B": {"hidden": 3072, "inner": 8192, "layers": 28, "heads": 24, "kv": 8, "words": 128_256},
    "7B": {"hidden": 4096, "inner": 11008, "layers": 32, "heads": 32, "kv": 32, "words": 32_000},
}
KINDS = {
    "full, fp32": (),
    "full, bf16": ("trainer.precision=bf16-true",),
    "LoRA, fp32": ("model/adapter=lora",),
    "LoRA, bf16": ("model/adapter=lora", "model.dtype=bfloat16"),
}
CARDS = (2, 16, 24, 40, 80)  # GB
LEAST = (  # prompts and responses of 128 tokens, one row at a time
    *("generation.max_prompt_tokens=128", "data.max_response_tokens=128"),
    *("sft.max_length=256", "reward_model.max_length=256", "trainer.gradient_checkpointing=true"),
    *("sft.micro_batch_size=1", "reward_model.micro_batch_size=1", "ppo.micro_batch_size=1"),
    *("generation.micro_batch_size=8", "evaluation.prompts=64"),
)


def fits(args: argparse.Namespace, work: Path) -> Iterator[dict[str, Any]]:
    from rlhf.config.compose import compose
    from rlhf.config.validate import validate
    from rlhf.estimates.peaks import peaks
    from rlhf.estimates.plan import Estimate
    from rlhf.estimates.rows import DataSize
    from rlhf.estimates.shape import shape_of

    for size, numbers in SIZES.items():
        shape = shape_of(
            {
                "model_type": "llama",
                "hidden_size": numbers["hidden"],
                "intermediate_size": numbers["inner"],
                "num_hidden_layers": numbers["layers"],
                "num_attention_heads": numbers["heads"],
                "num_key_value_heads": numbers["kv"],
                "vocab_size": numbers["words"],
                "tie_word_embeddings": size != "7B",
            }
        )
        assert shape is not None
        for kind, words in KINDS.items():
            lines = ["model=hf", "model.path=some/model", "trainer=gpu", *LEAST, *words]
            cfg = validate(compose([*lines, *args.overrides]))
            each = peaks(Estimate(cfg=cfg, shape=shape, data=DataSize()))
            yield {"model": size, "kind": kind, "estimated": {p.stage: p.size for p in each}}


def fitting(size: float, memory: float) -> str:
    """`tight`: the estimate may be off by more than what is left."""
    from rlhf.estimates.memory import FACTOR

    return "" if size > memory else "yes" if FACTOR * size <= memory else "tight"


def show_fits(rows: Iterable[Mapping[str, Any]]) -> None:
    table(
        ("model", "", *STAGES, *(f"{card} GB" for card in CARDS)),
        (
            (
                *(row["model"], row["kind"]),
                *(gigabytes(row["estimated"][stage]) for stage in STAGES),
                *(fitting(max(row["estimated"].values()), 1e9 * card) for card in CARDS),
            )
            for row in rows
        ),
    )

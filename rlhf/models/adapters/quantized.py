"""The type of a network's weights, by the name that a config has for it: the arguments that
transformers loads it with.

`4bit` (NF4, QLoRA, arXiv 2305.14314, by bitsandbytes) needs an NVIDIA GPU."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from rlhf.rundir.errors import ModelError

FOUR_BIT = "4bit"
PACKAGE = "bitsandbytes"


def loading_as(kind: str) -> dict[str, Any]:
    """Arguments of `from_pretrained` for `float32`, `bfloat16`, ... or `4bit`: what adapters stand
    beside is then in 4 bits, and computes in bfloat16.

    Raises:
        ModelError: 4bit cannot be had here.
    """
    if kind != FOUR_BIT:
        return {"dtype": getattr(torch, kind)}
    if fault := four_bit_fault():
        raise ModelError([fault])
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {
        "dtype": torch.bfloat16,
        "quantization_config": config,
        "device_map": {"": torch.cuda.current_device()},
    }


def four_bit_fault() -> str:
    """Why this machine has no 4-bit weights; empty where it has."""
    if not torch.cuda.is_available():
        return (
            f"model.dtype={FOUR_BIT} needs an NVIDIA GPU, and PyTorch sees none here; expected"
            " bfloat16 or float32"
        )
    if find_spec(PACKAGE) is None:
        return (
            f"model.dtype={FOUR_BIT} needs the package {PACKAGE} (pip install {PACKAGE}); expected"
            " bfloat16 or float32 without it"
        )
    return ""

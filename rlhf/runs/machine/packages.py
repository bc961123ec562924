"""Packages that a config asks for and the installation need not have."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from rlhf.config.pieces.optimizer import AdamW8bit
from rlhf.config.properties import needed_stages
from rlhf.config.schema import Config

BITSANDBYTES = ("bitsandbytes", "bitsandbytes")
PEFT = ("peft", "rlhf[lora]")


def packages_of(cfg: Config) -> Iterator[tuple[str, str, str]]:
    """The setting, the module and what pip installs of each."""
    if cfg.adapter.is_used:
        yield f"model/adapter={cfg.adapter.kind}", *PEFT
    if getattr(cfg.model, "attention", "auto") == "flash_attention_2":
        yield "model.attention=flash_attention_2", "flash_attn", "flash-attn"
    if getattr(cfg.model, "dtype", None) == "4bit":
        yield "model.dtype=4bit", *BITSANDBYTES
    for stage in needed_stages(cfg):
        if isinstance(getattr(cfg, stage.name).optimizer, AdamW8bit):
            yield f"{stage.name}.optimizer=adamw_8bit", *BITSANDBYTES


def package_fault(setting: str, module: str, distribution: str) -> str | None:
    """Why a setting cannot be had without another package."""
    if find_spec(module) is not None:
        return None
    if "[" not in distribution:
        return f"{setting}: needs the package {distribution}: pip install {distribution}"
    return f"{setting}: needs the package {module}: pip install '{distribution}'"

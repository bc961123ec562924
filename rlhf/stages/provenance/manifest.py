"""manifest.json: what made a result, enough to make it again."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from rlhf.config.naming import HASH_VERSION
from rlhf.config.plugins.folders import conf_folders
from rlhf.data.records import TaskData

PACKAGES = (
    "rlhf",
    "torch",
    "transformers",
    "peft",
    "pytorch-lightning",
    "hydra-core",
    "omegaconf",
    "mlflow",
    "tokenizers",
    "numpy",
)


@cache
def versions() -> dict[str, str]:
    installed = {"python": platform.python_version(), **dict.fromkeys(PACKAGES, "not installed")}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[package] = metadata.version(package)
    return installed | {each.distribution: each.version for each in conf_folders().plugins}


@cache
def git() -> dict[str, Any]:
    """The source's revision, whether it had changes and their sha256; empty where the package
    does not run from a repository."""
    root = Path(__file__).resolve().parents[3]

    def ask(*args: str) -> str:
        return subprocess.run(
            ["git", *args],
            cwd=root,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=10,
        ).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != root:
            return {}
        dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
        changes = (
            {"changes": hashlib.sha256(ask("diff", "--binary", "HEAD").encode()).hexdigest()}
            if dirty
            else {}
        )
        return {"revision": ask("rev-parse", "HEAD"), "dirty": dirty, **changes}
    except (OSError, subprocess.SubprocessError):
        return {}


@cache
def hardware() -> dict[str, str]:
    """The parts of this machine that decide the last bits: torch chooses its kernels by what the
    processor can do."""
    import torch

    parts = {"machine": platform.machine(), "cpu": torch.backends.cpu.get_cpu_capability()}
    return parts | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def data_parts(data: TaskData) -> dict[str, dict[str, Any]]:
    """{"demonstrations": {"rows": 64, "sha256": ...}, ...}: says later which part of the data is
    another."""
    return {
        name: {"rows": len(split.train) + len(split.heldout), "sha256": split.fingerprint}
        for name in ("demonstrations", "preferences", "prompts")
        if (split := getattr(data, name)) is not None
    }


def manifest(*, kind: str, stage: str, **details: Any) -> dict[str, Any]:
    """The content of manifest.json."""
    return {
        "kind": kind,
        "stage": stage,
        "hash_version": HASH_VERSION,
        **details,
        "versions": versions(),
        "git": git(),
        "hardware": hardware(),
    }

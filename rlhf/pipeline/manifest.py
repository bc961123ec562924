"""manifest.json: what made a result, enough to make it again."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("rlhf", "torch", "transformers", "pytorch-lightning", "hydra-core", "omegaconf", "mlflow", "tokenizers", "numpy")


@cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@cache
def git() -> dict[str, Any]:
    """The source's revision, and whether it had changes; empty where the package does not run from a repository."""
    here = Path(__file__).resolve().parent

    def ask(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(ask("rev-parse", "--show-toplevel")) != here.parents[1]:
            return {}
        return {"revision": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def manifest(*, kind: str, stage: str, **details: Any) -> dict[str, Any]:
    return {"kind": kind, "stage": stage, **details, "versions": versions(), "git": git()}

"""Names of runs and sweeps. They follow from the resolved config alone, so the same command
finds its own directory again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlhf.rundir.names import snake

# What says where a run lies and who watches it, not what comes out.
VOLATILE = ("paths", "tracking", "callbacks", "best_of_n", "study", "sweep", "rerun", "hydra")

# Settings inside a section that do not decide its result: how often it is saved, how much of it is
# shown.
BOOKKEEPING = ("checkpoint_every", "eval_samples")

# What an earlier stage does not read.
LATER = {
    "ppo": (),
    "reward_model": ("ppo", "advantage", "scorer", "kl", "trust_region", "seed"),
    "sft": (
        "reward_model",
        "generation",
        "ppo",
        "advantage",
        "scorer",
        "kl",
        "trust_region",
        "seed",
    ),
}


def canonical(value: Any) -> Any:
    """`value` with one spelling of each number, so that `kl.coef=0` and `kl.coef=0.0` are the
    same run."""
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def digest(value: Any) -> str:
    """sha256 (hex) of the canonical JSON of a plain value."""
    return hashlib.sha256(
        json.dumps(canonical(value), sort_keys=True, default=str).encode()
    ).hexdigest()


def identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that decides the result of its stage."""
    without = {*VOLATILE, *LATER.get(str(plain.get("stage")), ())}
    return {key: _deciding(value) for key, value in plain.items() if key not in without}


def _deciding(section: Any) -> Any:
    return (
        {k: v for k, v in section.items() if k not in BOOKKEEPING}
        if isinstance(section, Mapping)
        else section
    )


def run_hash(plain: Mapping[str, Any]) -> str:
    return digest(identity(plain))[:8]


def number(value: object) -> str:
    """A number without an exponent, shortest form: 1e-05 -> `0.00001`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return re.sub(r"[^A-Za-z0-9.]+", "_", str(value))
    return format(Decimal(repr(float(value))).normalize(), "f")


def slug(plain: Mapping[str, Any]) -> str:
    stage = str(plain.get("stage"))
    if stage in ("sft", "reward_model"):
        return f"{stage}-seed{number(plain[stage]['seed'])}"
    kl = plain["kl"]
    return (
        f"kl{number(kl['coef'])}-{snake(kl['controller']['_target_'])}-seed{number(plain['seed'])}"
    )


def run_name(plain: Mapping[str, Any]) -> str:
    """`kl0.05-fixed-seed1-1a2b3c4d`."""
    return f"{slug(plain)}-{run_hash(plain)}"


def sweep_name(plain: Mapping[str, Any], overrides: Iterable[str]) -> str:
    """`sweep` from the config, else the study and a hash of the sweep's overrides in any order."""
    return str(plain.get("sweep") or f"{plain['study']}-{digest(sorted(overrides))[:8]}")


def is_finished(directory: Path) -> bool:
    """True if the directory holds a run that ended by itself."""
    try:
        summary = json.loads((directory / "summary.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("status") == "finished"


def run_directory(base: Path, rerun: bool) -> Path:
    """`base`, or with `rerun` the first of `base-rerun1`, `base-rerun2`, ... that is not
    finished (a cut one is resumed)."""
    if not rerun or not is_finished(base):
        return base
    index = 1
    while is_finished(Path(f"{base}-rerun{index}")):
        index += 1
    return Path(f"{base}-rerun{index}")

"""Names of runs and sweeps. They follow from the resolved config alone, so the same command finds
its own directory again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rlhf.config.moved import MOVED
from rlhf.config.pieces.base import piece_name
from rlhf.config.stages import STAGES, decides, deciding_sections
from rlhf.digests import digest, one_spelling

# Raised when the same config gets another hash: runs of before are compared, not gone on with.
# 2: pieces are hashed by name, not by class; evaluation and the scorer's rules have own sections.
HASH_VERSION = 2


def named(value: Any) -> Any:
    """A plain config with each piece's name in place of its class: {"_target_":
    "rlhf.kl.controller.PID", "target": 6} becomes {"piece": "pid", "target": 6}."""
    if isinstance(value, Mapping):
        rest = {key: named(item) for key, item in value.items() if not _is_class_key(key)}
        return {"piece": piece_name(value), **rest} if "_target_" in value else rest
    return [named(item) for item in value] if isinstance(value, (list, tuple)) else value


def named_flat(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a config with dotted keys: `kl.controller._target_`: rlhf.kl.controller.PID
    becomes `kl.controller`: pid. Keys of older versions have today's names."""
    names: dict[str, Any] = {}
    for key, value in flat.items():
        node, _, last = key.rpartition(".")
        if last == "_target_":
            names[node] = piece_name({"_target_": value, "_name_": flat.get(f"{node}._name_")})
        elif last != "_name_":
            names[MOVED.get(key, key)] = value
    return names


def _is_class_key(key: Any) -> bool:
    return key in ("_target_", "_name_")


def identity(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that decides the result of its stage, pieces by name."""
    stage = str(plain.get("stage"))
    sections = deciding_sections(stage) if stage in STAGES else list(plain)
    return {name: _deciding(name, plain[name]) for name in sections if name in plain}


def _deciding(name: str, section: Any) -> Any:
    if not isinstance(section, Mapping):
        return section
    return named({key: value for key, value in section.items() if decides(f"{name}.{key}")})


def run_hash(plain: Mapping[str, Any]) -> str:
    return digest(one_spelling({"version": HASH_VERSION, **identity(plain)}))[:8]


def number(value: object) -> str:
    """A number without an exponent, shortest form: 1e-05 -> `0.00001`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return re.sub(r"[^A-Za-z0-9.]+", "_", str(value))
    return format(Decimal(repr(float(value))).normalize(), "f")


def slug(plain: Mapping[str, Any]) -> str:
    stage = str(plain.get("stage"))
    if stage in STAGES and STAGES[stage].seed != "seed":
        return f"{stage}-seed{number(plain[stage]['seed'])}"
    kl = plain["kl"]
    controller = piece_name(kl["controller"]).rpartition(".")[2]
    return f"kl{number(kl['coef'])}-{controller}-seed{number(plain['seed'])}"


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
    """`base`, or with `rerun` the first of `base-rerun1`, `base-rerun2`, ... that is not finished
    (a cut one is resumed)."""
    if not rerun or not is_finished(base):
        return base
    index = 1
    while is_finished(Path(f"{base}-rerun{index}")):
        index += 1
    return Path(f"{base}-rerun{index}")

"""Names of runs and sweeps. They follow from the resolved config alone, so the same command finds
its own directory again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from rlhf.config.pieces.base import piece_name
from rlhf.config.stages import STAGES, decides, deciding_sections, is_aside
from rlhf.digests import digest, one_spelling
from rlhf.kl.grid import grid_of
from rlhf.rundir.read import read_json
from rlhf.rundir.status import is_finished

# Raised when the same config gets another hash: runs of before are compared, not gone on with.
# 2: pieces are hashed by name, not by class; evaluation and the scorer's rules have own sections.
HASH_VERSION = 2

LONGEST_NUMBER = 24  # characters in a folder's name

PATH = "path"  # the controller that goes through a grid
GRID_KEYS = ("grid", "start", "points")  # which say what its coefficients are
CLASS_KEYS = ("_target_", "_name_")
ADAPTER_KIND = "adapter.kind"  # the name of what conf/model/adapter has chosen

# Keys that had another name in version 0.1: refused with today's.
MOVED = {
    "ppo.eval_every": "evaluation.every",
    "ppo.eval_prompts": "evaluation.prompts",
    "ppo.eval_samples": "evaluation.samples",
    "ppo.missing_eos": "scorer.missing_eos",
    "ppo.missing_eos_value": "scorer.missing_eos_value",
    "ppo.reward_clip": "scorer.reward_clip",
    "ppo.whiten_rewards": "advantage.whiten_rewards",
}

# Keys that older configs do not have, at the value that changes nothing.
UNSET = [
    *(("sft.path", None), ("sft.train", True), ("reward_model.path", None)),
    *(
        (f"{name}.micro_batch_tokens", None)
        for name in ("sft", "reward_model", "ppo", "generation")
    ),
    *(("ppo.responses_per_prompt", 1), ("evaluation.win_rate", None)),
    *((f"{name}.micro_batch_size", None) for name in ("sft", "reward_model", "generation")),
    *(("trainer.gradient_checkpointing", False), ("model.attention", "auto")),
    *(("generation.engine", "torch"), ("generation.graphs", True)),
    ("labels", "data"),
    *(("annotator.temperature", None), ("annotator.flip", 0.0), ("annotator.length_weight", 0.0)),
    *(("data.peak", 2.0), ("data.stop", 0.3), ("data.word", "none"), ("data.word_reward", 2.0)),
    *(("data.error", 0.0), ("data.error_degrees", 2.0)),
    ("kl.controller.shrink", 1.0),
]

# What an older config could not choose, and did not name.
IMPLIED = {"algorithm": "ppo", "advantage": "gae", "adapter": "none", "annotator": "gold"}


def named(value: Any) -> Any:
    """A plain config with each piece's name in place of its class: {"_target_":
    "rlhf.kl.controller.PID", "target": 6} becomes {"piece": "pid", "target": 6}."""
    if isinstance(value, Mapping):
        rest = {k: named(item) for k, item in value.items() if k not in CLASS_KEYS}
        return {"piece": piece_name(value), **rest} if "_target_" in value else rest
    return [named(item) for item in value] if isinstance(value, (list, tuple)) else value


def named_flat(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a config with dotted keys: `kl.controller._target_`: rlhf.kl.controller.PID
    becomes `kl.controller`: pid, and `adapter.kind`: lora `adapter`: lora. Keys of older versions
    have today's names."""
    return pieces_of(flat) | {
        MOVED.get(key, key): value
        for key, value in flat.items()
        if key.rpartition(".")[2] not in CLASS_KEYS and key != ADAPTER_KIND
    }


def as_now(named: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the keys that older configs do not have, so that they are compared with
    today's."""
    return {**dict(UNSET), "adapter.sharing": "separate", **named} if named else {}


def pieces_of(flat: Mapping[str, Any]) -> dict[str, str]:
    """The pieces of a config with dotted keys, with those that an older one implies."""
    nodes = (key.removesuffix("._target_") for key in flat if key.endswith("._target_"))
    kind = {"adapter": str(flat[ADAPTER_KIND])} if ADAPTER_KIND in flat else {}
    named_there = kind | {
        node: piece_name(
            {"_target_": flat[f"{node}._target_"], "_name_": flat.get(f"{node}._name_")}
        )
        for node in nodes
    }
    return (IMPLIED if "ppo.iterations" in flat else {}) | named_there


def deciding_config(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that decides the result of its stage, pieces by name."""
    stage = str(plain.get("stage"))
    sections = deciding_sections(stage) if stage in STAGES else filter(decides, plain)
    return {
        name: deciding(name, plain[name])
        for name in sections
        if name in plain and not is_unused(name, plain[name])
    }


def is_unused(name: str, section: Any) -> bool:
    """True of a section that older configs do not have, where it adds nothing: the same run keeps
    its hash."""
    if name == "annotator":
        return bool(deciding(name, section) == {"piece": IMPLIED[name]})
    return (name, section) in UNSET or (name == "adapter" and section["kind"] == "none")


def deciding(name: str, section: Any) -> Any:
    """The same of a section: without its keys that decide nothing."""
    if not isinstance(section, Mapping):
        return section
    return named(_without_aside(name, _as_before(name, section)))


def _without_aside(prefix: str, section: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: _without_aside(f"{prefix}.{k}", v) if isinstance(v, Mapping) else v
        for k, v in section.items()
        if not is_aside(f"{prefix}.{k}")
    }


def _as_before(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A section as configs wrote it before its stage could be entered from outside, where it is
    not: the same run keeps its hash."""
    plain = {k: v for k, v in section.items() if (f"{name}.{k}", v) not in UNSET}
    if f"{name}.{plain.get('normalize')}" == "reward_model.auto":
        plain["normalize"] = "path" not in plain
    if name == "kl" and (grid := path_grid(plain)):  # however it was given
        own = _as_before("kl.controller", plain["controller"])
        rest = {k: v for k, v in own.items() if k not in GRID_KEYS}
        plain["controller"] = {**rest, "grid": [*grid]}
    return plain


def path_grid(plain: Mapping[str, Any]) -> tuple[float, ...] | None:
    """The coefficients of a path, of a resolved config's section `kl`; None of another controller,
    and of settings that make no path."""
    controller = plain.get("controller")
    if not isinstance(controller, Mapping) or piece_name(controller) != PATH:
        return None
    try:
        return grid_of(plain["coef"], **{key: controller.get(key) for key in GRID_KEYS})
    except (TypeError, ValueError):  # a fault of the config, which is told elsewhere
        return None


def run_hash(plain: Mapping[str, Any]) -> str:
    """The first 8 hex digits of the sha256 of what decides the result."""
    return digest(one_spelling({"version": HASH_VERSION, **deciding_config(plain)}))[:8]


def other_version(directory: Path) -> str:
    """Why a directory is left alone that was made under another version of the hash; empty where
    it was made under this one, or holds no manifest."""
    manifest = read_json(directory / "manifest.json")
    version = manifest.get("hash_version", 1)
    if not manifest or version == HASH_VERSION:
        return ""
    revision = str((manifest.get("git") or {}).get("revision") or "not recorded")[:12]
    when = "before" if version < HASH_VERSION else "after"
    return (
        f"{directory} was made {when} version {HASH_VERSION} of the run hash (git revision"
        f" {revision}): compare works; to go on with it or reproduce it, use that revision"
    )


def older_runs(folder: Path, name: str = "*") -> list[Path]:
    """The runs in a folder, of this name or pattern, that another version of the hash named."""
    return sorted(filter(other_version, (p.parent for p in folder.glob(f"{name}/manifest.json"))))


def number(value: object) -> str:
    """A number in its shortest form, without an exponent unless that would be a line of zeros:
    1e-05 -> `0.00001`, 1e-30 -> `1e-30`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return re.sub(r"[^A-Za-z0-9.]+", "_", str(value))
    text = format(Decimal(repr(float(value))).normalize(), "f")
    return text if len(text) <= LONGEST_NUMBER else repr(float(value)).replace("+", "")


def slug(plain: Mapping[str, Any]) -> str:
    stage = str(plain.get("stage"))
    if stage in STAGES and STAGES[stage].seed != "seed":
        return f"{stage}-seed{number(plain[stage]['seed'])}"
    kl = plain["kl"]
    name = piece_name(kl["controller"])
    own = name == kl["controller"]["_target_"]  # a class without a YAML of its name
    controller = number(name.rpartition(".")[2] if own else name)
    algorithm = algorithm_name(plain)
    by = f"{number(algorithm)}-" if algorithm != IMPLIED["algorithm"] else ""
    return f"{by}kl{number(kl['coef'])}-{controller}-seed{number(plain['seed'])}"


def algorithm_name(plain: Mapping[str, Any]) -> str:
    """The YAML name of a plain config's algorithm, or its class's name: `rloo`."""
    node = plain.get("algorithm")
    return piece_name(node).rpartition(".")[2] if node else IMPLIED["algorithm"]


def stage_title(plain: Mapping[str, Any], stage: str) -> str:
    """What people call the training of a stage: by its algorithm where it has one, else by its
    name."""
    return algorithm_name(plain) if stage == "ppo" else stage


def run_name(plain: Mapping[str, Any]) -> str:
    """`kl0.05-fixed-seed1-1a2b3c4d`."""
    return f"{slug(plain)}-{run_hash(plain)}"


def sweep_name(plain: Mapping[str, Any], overrides: Iterable[str]) -> str:
    """`sweep` from the config, else the study and a hash of the sweep's overrides in any order."""
    return str(plain.get("sweep") or f"{plain['study']}-{digest(sorted(overrides))[:8]}")


def run_directory(base: Path, rerun: bool) -> Path:
    """`base`, or with `rerun` the first of `base-rerun1`, `base-rerun2`, ... that is not finished
    (a cut one is resumed)."""
    if not rerun or not is_finished(base):
        return base
    places = (Path(f"{base}-rerun{index}") for index in count(1))
    return next(place for place in places if not is_finished(place))

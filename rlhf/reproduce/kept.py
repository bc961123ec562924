"""The config that a run kept, twice: in config.yaml and in manifest.json. A copy without the
recorded hash was edited since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.allow import REMOTE_CODE, user_allowed
from rlhf.config.composition.resolve import Fault, resolve
from rlhf.config.naming import deciding_config, run_hash
from rlhf.config.schema import Config
from rlhf.config.validate import examine
from rlhf.digests import one_spelling
from rlhf.reproduce.differences import ABSENT, Difference
from rlhf.reproduce.target import Original
from rlhf.rundir.files import flatten
from rlhf.rundir.read import name_odd

UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException)


@dataclass(frozen=True, kw_only=True)
class Kept:
    original: Original
    config: Config | None = None  # None where it is no longer valid
    faults: list[str]
    edits: list[Difference] = field(default_factory=list)
    readable: bool = True


def kept_config(original: Original) -> Kept:
    """The edited copy if one was edited, as an edit is a wish; what was edited stands in
    `edits`."""
    path, manifest, summary = (
        original.directory / "config.yaml",
        original.manifest,
        original.summary,
    )
    written, fault = _read(path)
    copies = {} if written is None else {"config.yaml": written}
    if "data" in (other := manifest.get("config") or {}):
        copies["manifest.json"] = OmegaConf.create(dict(other))
    elif other:
        name_odd(path.with_name("manifest.json"), "its config is no whole one: it is not taken")
    if not copies:
        return Kept(original=original, faults=[f"{path}: {fault}"], readable=False)
    if fault:
        name_odd(path, f"{fault}: the copy in manifest.json is taken")
    recorded = summary.get("config_hash") or manifest.get("config_hash") or manifest.get("hash")
    name, edits = _edited({name: resolve(copy)[0] for name, copy in copies.items()}, str(recorded))
    typed, faults = examine(copies[name])
    trusts = typed is not None and getattr(typed.model, "trust_remote_code", False)
    if trusts and not user_allowed(REMOTE_CODE):
        typed, reason = None, "the model's own code would run: --allow-targets=transformers_modules"
        faults.append(Fault("model.trust_remote_code=true", reason))
    return Kept(original=original, config=typed, faults=list(map(str, faults)), edits=edits)


def _read(path: Path) -> tuple[DictConfig | None, str]:
    """The config in a file, or None and the reason."""
    try:
        written = OmegaConf.load(path)
    except UNREADABLE as error:
        return None, " ".join(str(error).split())[:200] or type(error).__name__
    if not isinstance(written, DictConfig) or "data" not in written:
        return None, "holds no whole config"
    return written, ""


def _edited(copies: Mapping[str, Mapping[str, Any]], recorded: str) -> tuple[str, list[Difference]]:
    """The copy to run, and what was edited in it."""
    hashes = {name: run_hash(copy) for name, copy in copies.items()}
    true = [name for name in copies if hashes[name] == recorded]
    edited = [name for name in copies if name not in true]
    if not edited:
        return next(iter(copies)), []
    if not true:
        note = f"{' and '.join(copies)} edited since the run; what it was is not kept"
        then, now = {"config_hash": recorded}, {"config_hash": hashes[edited[0]]}
    else:
        note = f"{edited[0]} was edited since the run"
        then, now = (flatten(deciding_config(copies[name])) for name in (true[0], edited[0]))
    pairs = {key: (then.get(key, ABSENT), now.get(key, ABSENT)) for key in [*then, *now]}
    return edited[0], [
        Difference(kind="config", name=key, then=_text(before), now=_text(after), note=note)
        for key, (before, after) in pairs.items()
        if one_spelling(before) != one_spelling(after)
    ]


def _text(value: Any) -> str:
    """As YAML writes it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def where_started(original: Original, cfg: Config) -> Path | None:
    """The folder that the config's relative paths start from: where the original was made. None
    if its place does not say."""
    place = (
        Path(cfg.paths.artifacts) / original.stage
        if original.is_artifact
        else Path(cfg.paths.run_dir).parent
    )
    real = original.directory.resolve().parent
    if place.is_absolute() or not place.parts or real.parts[-len(place.parts) :] != place.parts:
        return None
    return Path(*real.parts[: -len(place.parts)])

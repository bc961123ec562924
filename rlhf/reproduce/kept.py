"""The config that a run kept, twice: in config.yaml and in manifest.json. A copy without the
recorded hash was edited since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.composition.resolve import resolve
from rlhf.config.naming import deciding_config, run_hash
from rlhf.config.schema import Config
from rlhf.config.validate import examine
from rlhf.digests import one_spelling
from rlhf.reproduce.differences import ABSENT, Difference
from rlhf.reproduce.target import Original
from rlhf.rundir.files import flatten


@dataclass(frozen=True, kw_only=True)
class Kept:
    config: Config | None  # None where it is no longer valid
    faults: list[str]
    edits: list[Difference]


def kept_config(original: Original) -> Kept:
    """The edited copy if one was edited, as an edit is a wish; what was edited stands in
    `edits`."""
    path = original.directory / "config.yaml"
    try:
        written = OmegaConf.load(path)
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        return Kept(config=None, faults=[f"{path}: {' '.join(str(error).split())}"], edits=[])
    if not isinstance(written, DictConfig) or "data" not in written:
        return Kept(config=None, faults=[f"{path}: holds no whole config"], edits=[])
    listed = original.manifest.get("config")
    copies = {
        "config.yaml": written,
        **(
            {"manifest.json": OmegaConf.create(dict(listed))} if isinstance(listed, Mapping) else {}
        ),
    }
    summary, manifest = original.summary, original.manifest
    recorded = [summary.get("config_hash"), manifest.get("config_hash"), manifest.get("hash")]
    name, edits = _edited(
        {name: resolve(copy)[0] for name, copy in copies.items()},
        str(next(filter(None, recorded), None)),
    )
    typed, faults = examine(copies[name])
    return Kept(config=typed, faults=list(map(str, faults)), edits=edits)


def _edited(copies: Mapping[str, Mapping[str, Any]], recorded: str) -> tuple[str, list[Difference]]:
    """The copy to run, and what was edited in it."""
    hashes = {name: run_hash(copy) for name, copy in copies.items()}
    other = [name for name in copies if hashes[name] != recorded]
    if not other:
        return "config.yaml", []
    true = next((name for name in copies if hashes[name] == recorded), None)
    if true is None:
        both = " and ".join(copies)
        note = f"{both} edited since the run; what it was is not kept"
        return "config.yaml", [
            Difference(
                kind="config",
                name="config_hash",
                then=recorded,
                now=hashes["config.yaml"],
                note=note,
            )
        ]
    then, now = (flatten(deciding_config(copies[name])) for name in (true, other[0]))
    note = f"{other[0]} was edited since the run"
    changed = [
        key
        for key in dict.fromkeys([*then, *now])
        if one_spelling(then.get(key, ABSENT)) != one_spelling(now.get(key, ABSENT))
    ]
    return other[0], [
        Difference(
            kind="config",
            name=key,
            then=_text(then.get(key, ABSENT)),
            now=_text(now.get(key, ABSENT)),
            note=note,
        )
        for key in changed
    ]


def _text(value: Any) -> str:
    """As YAML writes it."""
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or isinstance(value, bool)
        else str(value)
    )


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

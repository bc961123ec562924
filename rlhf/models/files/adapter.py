"""The folder of an adapter, or of a scalar head alone, as far as it tells without torch: which
network it stands beside. PEFT's files, and one of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.rundir.errors import ModelError
from rlhf.rundir.read import read_json, read_object

CONFIG, WEIGHTS, WHOLE = "adapter_config.json", "adapter_model.safetensors", "model.safetensors"
BACKBONE = "backbone.json"  # ours: which network it was made for, and what scores are normalised by


@dataclass(frozen=True)
class Base:
    """Where a frozen network is loaded from: a folder of this computer, or a name on the hub."""

    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.path}@{self.revision}" if self.revision else self.path


def is_adapter(folder: str | Path) -> bool:
    """True where what was trained beside a network lies in a folder, not the network."""
    return any((Path(folder) / name).is_file() for name in (CONFIG, BACKBONE))


def is_scalar(folder: str | Path) -> bool:
    """True if an adapter's folder holds a reward model."""
    if not (Path(folder) / CONFIG).is_file():  # a head alone
        return True
    config = read_object(Path(folder) / CONFIG) or {}
    return config.get("task_type") == "SEQ_CLS"


def weights_file(folder: Path) -> Path:
    """The file with what was trained of a policy or reward model: the adapter's, or all weights."""
    return folder / (WEIGHTS if is_adapter(folder) else WHOLE)


def base_of(folder: str | Path) -> Base:
    """The network that an adapter's folder names. A folder of this computer may have moved with
    the adapter: then it is looked for beside it.

    Raises:
        ModelError: it names none, or a folder that is not there.
    """
    config = {**(read_object(Path(folder) / BACKBONE) or {})}
    config |= read_object(Path(folder) / CONFIG) or {}
    named, revision = config.get("base_model_name_or_path"), config.get("revision")
    if not isinstance(named, str) or not named:
        raise ModelError(
            [f"{folder}: its {CONFIG} names no base_model_name_or_path: the model it is beside"]
        )
    if Path(named).is_dir():
        return Base(str(Path(named).resolve()))
    if not Path(named).is_absolute():
        return Base(named, revision if isinstance(revision, str) else None)
    # <artifacts>/<stage>/<fingerprint> beside <artifacts>/<stage>/<fingerprint>, or under a root
    last = Path(*Path(named).parts[-2:])
    for parent in Path(folder).absolute().parents:
        for place in (parent / last, parent / "artifacts" / last):
            if place.is_dir():
                return Base(str(place.resolve()))
    raise ModelError(
        [
            f"{folder}: the network {named} that its adapter stands beside is not there; put it"
            f" back, or name another place as base_model_name_or_path in {CONFIG}"
        ]
    )


def known_as(base: Base, cache: str | Path) -> Base:
    """The network as others find it: of a folder in the hub's `cache` its name there. Any other
    folder stays whole: PEFT takes a relative one from where a program is started, so that it would
    hold for one place alone."""
    path = Path(base.path)
    for snapshots in path.parents[:1] if path.is_relative_to(Path(cache).resolve()) else ():
        kind, *names = snapshots.parent.name.split("--")
        if snapshots.name == "snapshots" and kind == "models" and names:
            return Base("/".join(names), path.name)
    return base


def network_of(folder: Path) -> Base:
    """The network that adapters stand beside which are trained on top of a policy's folder: the
    one of its adapter, or the policy itself. Of one that was taken as it is the place that it was
    taken from, which is the name that others know it by."""
    if is_adapter(folder):
        return base_of(folder)
    origin = read_json(folder / "manifest.json").get("origin") or {}
    path, content = origin.get("path"), origin.get("content") or {}
    if origin.get("trained") is False and isinstance(path, str):
        if "folder" not in origin:
            return Base(path, content.get("commit") or content.get("revision"))
        if Path(origin["folder"]).is_dir():
            return Base(origin["folder"])
    return Base(str(folder.resolve()))


def dtype_of(folder: str | Path) -> str | None:
    """The type of the network's weights that it was made for; None where it does not tell."""
    kept = (read_object(Path(folder) / BACKBONE) or {}).get("dtype")
    return kept if isinstance(kept, str) else None


def adapter_facts(folder: Path) -> dict[str, Any]:
    """What stands beside which network, for a manifest."""
    config, kept = read_json(folder / CONFIG), read_json(folder / BACKBONE)
    targets = config.get("target_modules")
    return {
        "base": str(base_of(folder)),
        "base_sha256": kept.get("weights_sha256"),
        "targets": sorted(targets) if isinstance(targets, list) else targets,
        **{key: config[key] for key in ("r", "lora_alpha") if key in config},
    }

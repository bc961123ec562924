"""The folder of an adapter in PEFT's layout, as far as it tells without torch: the network that it
stands beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rlhf.rundir.errors import ModelError
from rlhf.rundir.read import read_object

CONFIG, WEIGHTS, WHOLE = "adapter_config.json", "adapter_model.safetensors", "model.safetensors"


@dataclass(frozen=True)
class Base:
    """Where a frozen network is loaded from: a folder of this computer, or a name on the hub."""

    path: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.path}@{self.revision}" if self.revision else self.path


def is_adapter(folder: str | Path) -> bool:
    return (Path(folder) / CONFIG).is_file()


def weights_file(folder: Path) -> Path:
    """The file with what was trained of a policy or reward model: the adapter's, or all weights."""
    return folder / (WEIGHTS if is_adapter(folder) else WHOLE)


def base_of(folder: str | Path) -> Base:
    """The network that an adapter's folder names. A folder of this computer may have moved with
    the adapter: then it is looked for beside it.

    Raises:
        ModelError: it names none, or a folder that is not there.
    """
    config = read_object(Path(folder) / CONFIG) or {}
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

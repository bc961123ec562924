"""The folders that config groups are read from: ours, those of plugins, the user's own. Of two
options of a name only one can be chosen, so a plugin that has one of another folder's is left out
and both places are named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from rlhf.config.plugins.installed import Installed, installed, searched


@dataclass(frozen=True)
class Folders:
    """Config folders in the order in which they are searched; the first that has an option gives
    it."""

    ours: Path
    plugins: tuple[Installed, ...]  # those in use
    own: Path | None  # the user's, of --config-dir
    left_out: tuple[tuple[Installed, str], ...]  # the other plugins, each with the reason

    @property
    def paths(self) -> tuple[Path, ...]:
        own = () if self.own is None else (self.own,)
        return (self.ours, *(plugin.conf for plugin in self.plugins if plugin.conf), *own)

    @property
    def every(self) -> list[tuple[Installed, str]]:
        """All plugins, each with why it is left out; empty of those in use."""
        return [*((plugin, "") for plugin in self.plugins), *self.left_out]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each plugin that is left out."""
        return [f"the {plugin} is left out: {reason}" for plugin, reason in self.left_out]


def conf_dir() -> Path:
    """The folder of our config groups: inside the package where it was installed, beside it in a
    source tree."""
    inside = Path(__file__).resolve().parents[2] / "_conf"
    return inside if inside.is_dir() else inside.parents[1] / "conf"


def conf_folders(config_dir: str | Path | None = None) -> Folders:
    """Every folder that config groups are read from.

    Raises:
        FileNotFoundError: there is no folder `config_dir`.
    """
    own = None if config_dir is None else Path(config_dir).resolve()
    if own is not None and not own.is_dir():
        raise FileNotFoundError(f"--config-dir={config_dir}: no such folder")
    taken = [folder for folder in (conf_dir(), _hydras(), own) if folder is not None]
    plugins: list[Installed] = []
    left_out: list[tuple[Installed, str]] = []
    for plugin in installed():
        reason = plugin.fault or _collision(plugin, taken)
        if reason or plugin.conf is None:
            left_out.append((plugin, reason))
        else:
            plugins.append(plugin)
            taken.append(plugin.conf)
    return Folders(conf_dir(), tuple(plugins), own, tuple(left_out))


def allowed_packages() -> tuple[str, ...]:
    """The packages whose classes and functions configs may name because a plugin that is in use
    says so. One that is left out allows nothing."""
    return _allowed(*searched())


@lru_cache(maxsize=8)
def _allowed(path: tuple[str, ...], here: str) -> tuple[str, ...]:
    return tuple(target for plugin in conf_folders().plugins for target in plugin.targets)


def _collision(plugin: Installed, taken: list[Path]) -> str:
    """Where it has an option that another folder has; empty where it has none."""
    if plugin.conf is None:
        return ""
    for name in plugin.yamls:
        for folder in taken:
            if (folder / name).is_file():
                return f"{plugin.conf / name} has the name of {folder / name}"
    return ""


def _hydras() -> Path | None:
    """The folder of Hydra's own config groups."""
    spec = find_spec("hydra")
    places = spec and spec.submodule_search_locations
    return Path(next(iter(places))) / "conf" if places else None

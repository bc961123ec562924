"""Hydra's engine on our `conf/`: from a source tree, from an installed wheel, with the user's
own groups after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.plugins.search_path_plugin import SearchPathPlugin

from rlhf.config.composition.hydra_internals import (
    Hydra,
    create_config_search_path,
    new_hydra,
    open_stored,
    quick_loading,
    register_plugin,
    stored,
)
from rlhf.config.composition.resolve import register_resolvers
from rlhf.config.plugins.folders import Folders, conf_folders

VERSION_BASE = "1.3"
CONFIG_NAME = "config"
OWN = "command-line"  # as Hydra calls the folder that --config-dir names


def settle_stored(folders: Folders) -> None:
    """Drops Hydra's plugins' own configs of the launchers and sweepers that a config folder has in
    `hydra/launcher` and `hydra/sweeper`: of two of a name Hydra warns in every job, or refuses
    both. Files can add to the others."""
    for part in ("launcher", "sweeper"):
        for folder in folders.paths:
            for file in (folder / "hydra" / part).glob("*.yaml"):
                stored(part).pop(file.name, None)
        open_stored(part)


class InstalledFolders(SearchPathPlugin):  # type: ignore[misc]
    """How Hydra's own `--help`, `--cfg` and `--info` find what installed plugins bring."""

    folders: Folders | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for plugin in self.folders.plugins if self.folders else ():
            search_path.append(provider=plugin.distribution, path=f"file://{plugin.conf}")


def run_by_hydra(main: Callable[[], object], folders: Folders) -> None:
    """Calls a function that `hydra.main` made, with the config folders of installed plugins."""
    InstalledFolders.folders = folders
    register_plugin(InstalledFolders, "hydra_plugins.rlhf.InstalledFolders")
    settle_stored(folders)
    GlobalHydra.instance().clear()
    try:
        with quick_loading():
            main()
    finally:
        InstalledFolders.folders = None  # a session finds them itself


def own_folder(hydra: Hydra) -> list[str]:
    """The `--config-dir=...` that a session was opened with, from where we are; none where there
    was none."""
    path = hydra.config_loader.get_search_path().get_path()
    given = [Path(p.path.removeprefix("file://")) for p in path if p.provider == OWN]
    here = Path.cwd()
    return [f"--config-dir={p.relative_to(here) if p.is_relative_to(here) else p}" for p in given]


@contextmanager
def session(config_dir: str | Path | None = None) -> Iterator[Hydra]:
    """A Hydra that knows our resolvers, our groups, and after them those of installed plugins and
    of `config_dir`: of two options of a name ours is taken, as with Hydra's own --config-dir. The
    Hydra that was there before is put back.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    folders = conf_folders(config_dir)
    path = create_config_search_path(str(folders.ours))
    before_schema = SearchPathQuery(provider="schema")
    for plugin in folders.plugins:
        where = f"file://{plugin.conf}"
        path.prepend(provider=plugin.distribution, path=where, anchor=before_schema)
    if folders.own is not None:
        path.prepend(provider=OWN, path=f"file://{folders.own}", anchor=before_schema)
    register_resolvers()
    version.setbase(VERSION_BASE)
    instance = GlobalHydra.instance()
    before = instance.hydra
    instance.clear()
    try:
        hydra = new_hydra("rlhf", path)
        settle_stored(folders)
        yield hydra
    finally:
        instance.clear()
        instance.hydra = before

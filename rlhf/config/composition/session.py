"""Hydra's engine on our `conf/`: from a source tree, from an installed wheel, with the user's
own groups after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra

from rlhf.config.composition.hydra_internals import (
    Hydra,
    create_config_search_path,
    new_hydra,
    stored_launchers,
)
from rlhf.config.composition.resolve import register_resolvers
from rlhf.config.described.files import conf_dir as conf_dir

VERSION_BASE = "1.3"
CONFIG_NAME = "config"


def prefer_our_launchers() -> None:
    """Drops the plugins' own configs of the launchers that `conf/hydra/launcher` has: Hydra
    warns of two of a name, in every job."""
    for file in (conf_dir() / "hydra" / "launcher").glob("*.yaml"):
        stored_launchers().pop(file.name, None)


@contextmanager
def session(config_dir: str | Path | None = None) -> Iterator[Hydra]:
    """A Hydra that knows our resolvers, our groups, and after them those of `config_dir`: of two
    options of a name ours is taken, as with Hydra's own --config-dir. The Hydra that was there
    before is put back.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        own = Path(config_dir).resolve()
        if not own.is_dir():
            raise FileNotFoundError(f"--config-dir={config_dir}: no such folder")
        path.prepend(
            provider="command-line", path=f"file://{own}", anchor=SearchPathQuery(provider="schema")
        )
    register_resolvers()
    version.setbase(VERSION_BASE)
    instance = GlobalHydra.instance()
    before = instance.hydra
    instance.clear()
    try:
        hydra = new_hydra("rlhf", path)
        prefer_our_launchers()
        yield hydra
    finally:
        instance.clear()
        instance.hydra = before

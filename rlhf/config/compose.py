"""From Python what the command line does: overrides to a config, a config to a checked one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from rlhf.config.composition.plan import compose_one
from rlhf.config.composition.session import session
from rlhf.config.validate import ConfigError, validate

__all__ = ["ConfigError", "compose", "validate"]


def compose(overrides: Iterable[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """The config that `rlhf <overrides>` would run, `paths` and all. Of an experiment that is a
    sweep: what its jobs share.

    Raises:
        ConfigError: if an override names what is not there. Values are checked by `validate`.
    """
    with session(config_dir) as hydra:
        return compose_one(hydra, list(overrides))

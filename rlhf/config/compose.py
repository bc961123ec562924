"""From Python what the command line does: overrides to a config, a config to a checked one."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from rlhf.config.composition.composer import Composer, line_of
from rlhf.config.composition.overrides import Groups, parse
from rlhf.config.composition.plan import right_names
from rlhf.config.composition.resolve import Fault, own_names, resolve
from rlhf.config.composition.session import session
from rlhf.config.hints.several import spelled
from rlhf.config.plugins.folders import conf_folders
from rlhf.config.validate import ConfigError, validate

__all__ = ["ConfigError", "compose", "validate"]


def compose(overrides: Iterable[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """The config that `rlhf <overrides>` would run, `paths` and all. Of an experiment that is a
    sweep: what its jobs share.

    Raises:
        ConfigError: if an override names what is not there. Values are checked by `validate`.
    """
    if isinstance(overrides, str):  # whose letters would be settings
        raise ConfigError([f"compose takes a list of settings: compose([{overrides!r}])"])
    for warning in conf_folders(config_dir).warnings:
        warnings.warn(warning, stacklevel=2)
    with session(config_dir) as hydra:
        groups = Groups(hydra.config_loader)
        parsed, faults = parse(spelled(overrides), hydra)
        right, wrong, spoiled = right_names(parsed, groups)
        faults += wrong
        faults += [
            Fault("", f"{line_of(o)}: several values make a sweep, not one config")
            for o in right
            if o.is_sweep_override()
        ]
        single = [o for o in right if not o.is_sweep_override()]
        hydra_lines = tuple(line_of(o) for o in single if o.is_hydra_override())
        task = [o for o in single if not o.is_hydra_override()]
        config, more = Composer(hydra, groups).compose(task, hydra_lines, spoiled)
    if faults + more:
        raise ConfigError(map(str, faults + more))
    # with the names of the user's own pieces, which only Hydra's node knows
    without = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for where, name in own_names(config, resolve(config)[0]).items():
        OmegaConf.update(without, ".".join((*where, "_name_")), name, force_add=True)
    OmegaConf.set_struct(without, True)
    return without

"""What Hydra builds of its own node, judged before it does: callbacks, launcher, sweeper and the
two logging dictionaries, with all interpolations followed. And what no file may decide."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.allow import refusal, targets, user_allowed
from rlhf.config.build import user_class
from rlhf.config.composition.judged.commands import command_faults, trust_faults
from rlhf.config.composition.judged.logs import logging_faults
from rlhf.config.composition.walk import MISSING, Fault, plain_value, words_of
from rlhf.config.pieces.base import Custom

# Hydra takes a launcher and a sweeper only from its plugins, which are installed code.
PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
LOGGING = ("job_logging", "hydra_logging")
BUILT = ("callbacks", "launcher", "sweeper", *LOGGING)


def hydra_faults(
    config: DictConfig, given: Collection[str] = (), job: Collection[str] = ()
) -> list[Fault]:
    """What Hydra must not build of a composed config.

    Args:
        given: the words of the command line: some settings may stand there only, in no file.
        job: the words of a job, of which some may come from the file of a sweep.
    """
    return [*_node_faults(config, given, job), *trust_faults(config, given)]


def _node_faults(config: DictConfig, given: Collection[str], job: Collection[str]) -> list[Fault]:
    directory = _directory(config)
    nodes, faults = _resolved(config, directory)
    for path, target in targets(nodes):
        plugin = path in (("launcher",), ("sweeper",)) and str(target).startswith(PLUGINS)
        if not plugin and not user_allowed(target):
            where = ".".join(("hydra", *path, "_target_"))
            faults.append(Fault(f"{where}={target}", refusal(target)))
    for name in LOGGING:
        faults += logging_faults(nodes[name], directory, ("hydra", name))
    faults += command_faults(config, nodes["launcher"], given)
    overrides = config.hydra.overrides
    if {*words_of(overrides.hydra), *words_of(overrides.task)} - {*given, *job}:
        reason = "is what the command line says: no file may set it"
        faults.append(Fault("hydra.overrides", reason))
    return faults


class HydraNodeRefused(HydraException):
    """Hydra must not build what its node names."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(map(str, faults))
        super().__init__("; ".join(self.faults))


@dataclass
class Judge:
    """Judges the jobs of a command: Hydra's node of those of the same choices of groups once,
    unless their own settings have a part in it."""

    given: Collection[str]  # the words of the command line
    _same: dict[tuple[str, ...], list[Fault]] = field(default_factory=dict)

    def faults(
        self, config: DictConfig, words: tuple[str, ...], choices: tuple[str, ...]
    ) -> list[Fault]:
        trust = trust_faults(config, self.given)
        if choices in self._same:
            return [*self._same[choices], *trust]
        faults = _node_faults(config, self.given, words)
        written: Any = OmegaConf.to_container(config.hydra, resolve=False)
        if not any("${" in str(written[name]) for name in BUILT):
            self._same[choices] = faults
        return [*faults, *trust]


def guard(config: DictConfig, given: Collection[str] = (), job: Collection[str] = ()) -> None:
    """To be called right before Hydra builds anything of this config.

    Raises:
        HydraNodeRefused: there is something that it must not build.
    """
    faults = hydra_faults(config, given, job)
    for path, target in [] if faults else targets(_resolved(config, _directory(config))[0]):
        if not str(target).startswith(PLUGINS):
            try:
                user_class(Custom.model_validate({"_target_": target}))
            except ValueError as error:  # it goes by an allowed name, and is something else
                faults.append(Fault(".".join(("hydra", *path)), str(error)))
    if faults:
        raise HydraNodeRefused(faults)


def guard_job(config: DictConfig, given: Collection[str], job: Collection[str] = ()) -> None:
    """The same of a job's config. Its logging, which Hydra makes later, is from now on what was
    judged: a directory, a number of the job or a variable of the environment that it follows from
    could be another by then.

    Raises:
        HydraNodeRefused: there is something that Hydra must not build.
    """
    guard(config, given, job)
    logging = _resolved(config, _directory(config))[0]["job_logging"]
    with read_write(config), open_dict(config):
        config.hydra.job_logging = _literal(logging)


def _literal(value: Any) -> Any:
    """The value as a config has it in which nothing is followed."""
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value.replace("${", r"\${") if isinstance(value, str) else value


@dataclass
class JudgedLoader:
    """Hydra's loader of configs, as launchers get it: a job's config is judged where it is loaded,
    which may be on another machine."""

    loader: Any
    given: tuple[str, ...]  # the words of the command line

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        config: DictConfig = self.loader.load_sweep_config(master_config, sweep_overrides)
        own = words_of(master_config.hydra.overrides.hydra)  # its directory's name is among them
        guard_job(config, self.given, [*own, *sweep_overrides])
        return config

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "loader":  # pickle asks before there is one
            raise AttributeError(name)
        return getattr(self.loader, name)


def _resolved(config: DictConfig, directory: Path) -> tuple[dict[str, Any], list[Fault]]:
    """The nodes as Hydra will see them, and a fault for each part of which that is not sure: what
    follows from the time could be another thing a minute later."""
    faults: list[Fault] = []
    with _as_in_a_job(config, directory), _timeless():
        hydra = config.hydra
        nodes = {name: plain_value(hydra, name, f"hydra.{name}", faults) for name in BUILT}
    unsure = [
        Fault(fault.where, f"cannot be checked before Hydra builds it: {fault.reason}")
        for fault in faults
        if not fault.reason.startswith("needs a value")
    ]
    known = {fault.where for fault in faults}
    unsure += [
        Fault(where, "cannot be checked before Hydra builds it: it has no value yet")
        for where in _missing(nodes, ("hydra",))
        if where not in known
    ]
    return nodes, unsure


def _missing(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _missing(value, (*path, str(key)))
    elif node == MISSING:
        yield ".".join(path)


@contextmanager
def _as_in_a_job(config: DictConfig, directory: Path) -> Iterator[None]:
    """The directory that Hydra fills in when a job starts is there, and `${hydra:...}` works."""
    singleton: Any = HydraConfig.instance()
    before, runtime = singleton.cfg, config.hydra.runtime
    written = OmegaConf.to_container(runtime, resolve=False)["output_dir"]  # type: ignore[call-overload, index]
    try:
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = str(directory)
        singleton.cfg = config
        yield
    finally:
        singleton.cfg = before
        with read_write(runtime), open_dict(runtime):
            runtime.output_dir = written


def _directory(config: DictConfig) -> Path:
    """Of the job that this is the config of. It has the run's name, which asks for all values."""
    sweep = str(config.hydra.get("mode")).endswith("MULTIRUN")
    keys = ("hydra.sweep.dir", "hydra.sweep.subdir") if sweep else ("hydra.run.dir",)
    try:
        return Path(os.path.abspath(Path(*(str(OmegaConf.select(config, key)) for key in keys))))
    except OmegaConfBaseException:  # said elsewhere
        return Path(os.devnull)


@contextmanager
def _timeless() -> Iterator[None]:
    """`${now:...}` has no value."""

    def refuse(*pattern: str) -> str:
        raise ValueError("it follows from the time")

    OmegaConf.register_new_resolver("now", refuse, replace=True)
    try:
        yield
    finally:
        setup_globals()  # Hydra's own resolvers again

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

from rlhf.config.allow import REMOTE_CODE, refusal, targets, user_allowed
from rlhf.config.build import user_class
from rlhf.config.composition.walk import MISSING, Fault, plain_value, words_of
from rlhf.config.pieces.base import Custom

# Hydra takes a launcher and a sweeper only from its plugins, which are installed code.
PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.")
LOGGING = ("job_logging", "hydra_logging")
BUILT = ("callbacks", "launcher", "sweeper", *LOGGING)
FORMATTERS = ("logging.Formatter", "colorlog.ColoredFormatter")
STREAM_HANDLERS = ("logging.StreamHandler", "logging.NullHandler", "rich.logging.RichHandler")
FILE_HANDLERS = (
    "logging.FileHandler",
    "logging.handlers.RotatingFileHandler",
    "logging.handlers.TimedRotatingFileHandler",
    "logging.handlers.WatchedFileHandler",
)
STREAMS = ("sys.stdout", "sys.stderr")
# settings of launchers of other packages that are commands for a shell
COMMANDS = ("setup", "python", "runtime_env", "setup_commands", "initialization_commands")


def hydra_faults(
    config: DictConfig, given: Collection[str] = (), job: Collection[str] = ()
) -> list[Fault]:
    """What Hydra must not build of a composed config.

    Args:
        given: the words of the command line: some settings may stand there only, in no file.
        job: the words of a job, of which some may come from the file of a sweep.
    """
    nodes, faults = _resolved(config)
    for path, target in targets(nodes):
        plugin = path in (("launcher",), ("sweeper",)) and str(target).startswith(PLUGINS)
        if not plugin and not user_allowed(target):
            where = ".".join(("hydra", *path, "_target_"))
            faults.append(Fault(f"{where}={target}", refusal(target)))
    for name in LOGGING:
        faults += _logging_faults(nodes[name], _directory(config), ("hydra", name))
    faults += _command_line_only(config, nodes, given)
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
    """Judges the jobs of a command: those of the same choices of groups once, unless their own
    settings have a part in it."""

    given: Collection[str]  # the words of the command line
    _same: dict[tuple[str, ...], list[Fault]] = field(default_factory=dict)

    def faults(
        self, config: DictConfig, words: tuple[str, ...], choices: tuple[str, ...]
    ) -> list[Fault]:
        if choices in self._same:
            return self._same[choices]
        faults = hydra_faults(config, self.given, words)
        written: Any = OmegaConf.to_container(config.hydra, resolve=False)
        if not any("${" in str(written[name]) for name in BUILT):
            self._same[choices] = faults
        return faults


def guard(config: DictConfig, given: Collection[str] = ()) -> None:
    """To be called right before Hydra builds anything of this config.

    Raises:
        HydraNodeRefused: there is something that it must not build.
    """
    faults = hydra_faults(config, given)
    for path, target in [] if faults else targets(_resolved(config)[0]):
        if not str(target).startswith(PLUGINS):
            try:
                user_class(Custom.model_validate({"_target_": target}))
            except ValueError as error:  # it goes by an allowed name, and is something else
                faults.append(Fault(".".join(("hydra", *path)), str(error)))
    if faults:
        raise HydraNodeRefused(faults)


def _resolved(config: DictConfig) -> tuple[dict[str, Any], list[Fault]]:
    """The nodes as Hydra will see them, and a fault for each part of which that is not sure: what
    follows from the time could be another thing a minute later."""
    faults: list[Fault] = []
    with _as_in_a_job(config), _timeless():
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
def _as_in_a_job(config: DictConfig) -> Iterator[None]:
    """The directory that Hydra fills in when a job starts is there, and `${hydra:...}` works."""
    singleton: Any = HydraConfig.instance()
    before, runtime = singleton.cfg, config.hydra.runtime
    empty = OmegaConf.is_missing(runtime, "output_dir")
    try:
        if empty:
            with read_write(runtime), open_dict(runtime):
                runtime.output_dir = str(_directory(config))
        singleton.cfg = config
        yield
    finally:
        singleton.cfg = before
        if empty:
            with read_write(runtime), open_dict(runtime):
                runtime.output_dir = MISSING


def _directory(config: DictConfig) -> Path:
    """Of the job that this is the config of."""
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


def _logging_faults(node: Any, directory: Path, path: tuple[str, ...]) -> Iterator[Fault]:
    """logging.config calls `()`, makes an object of `class`, and imports what `ext://` names.

    A file is written in the directory of the run only, and is a log: no other program reads it.
    """
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        text = str(node)
        name = text.removeprefix("ext://")
        if name != text and name not in STREAMS and not user_allowed(name):
            yield Fault(f"{'.'.join(path)}={node}", refusal(name))
        return
    section = path[2] if len(path) == 4 else ""  # hydra.job_logging.handlers.<name>
    ours = {"formatters": FORMATTERS, "handlers": (*STREAM_HANDLERS, *FILE_HANDLERS)}
    for key, value in node.items():
        if key not in ("()", "class"):
            yield from _logging_faults(value, directory, (*path, str(key)))
        elif not user_allowed(value) and (
            value not in ours.get(section, ()) or (key == "()" and section == "handlers")
        ):
            yield Fault(f"{'.'.join((*path, key))}={value}", refusal(value))
    name = str(node.get("filename", "a.log"))
    inside = Path(os.path.abspath(name)).is_relative_to(directory)
    if node.get("class") in FILE_HANDLERS and not (inside and name.endswith(".log")):
        reason = f"expected a file *.log in the run's directory ({directory})"
        yield Fault(f"{'.'.join(path)}.filename={name}", reason)


def _command_line_only(
    config: DictConfig, nodes: dict[str, Any], given: Collection[str]
) -> Iterator[Fault]:
    reason = "decides what is run: no file may set it; write it on the command line"
    for name in config.hydra.job.get("env_set") or ():
        if not _written("hydra.job.env_set", given):
            yield Fault(f"hydra.job.env_set.{name}", f"{reason}, or {name}=... before rlhf")
    launcher = nodes["launcher"] if isinstance(nodes["launcher"], dict) else {}
    target = str(launcher.get("_target_"))
    for key, value in _leaves(launcher, "hydra.launcher"):
        command = value and key.rpartition(".")[2] in COMMANDS
        if command and not _written(key, given) and not user_allowed(target):
            package = ".".join(target.split(".")[:2])
            yield Fault(key, f"{reason}, or --allow-targets={package}")
    trust = "model.trust_remote_code"
    asked = OmegaConf.select(config, trust, default=False) and not _written(trust, given)
    if asked and not user_allowed(REMOTE_CODE):
        yield Fault(f"{trust}=true", f"{reason}, or --allow-targets=transformers_modules")


def _written(key: str, given: Collection[str]) -> bool:
    """Whether a word of the command line sets the key, a part of it, or the dict that it is in."""
    for word in given:
        name, _, value = word.lstrip("+").partition("=")
        whole = value.startswith("{") and key.startswith(f"{name}.")
        if whole or name == key or name.startswith(f"{key}."):
            return True
    return False


def _leaves(node: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        yield f"{prefix}.{key}", value
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}.{key}")

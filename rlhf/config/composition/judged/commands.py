"""Settings that decide what a machine runs: no file may set them, a command line may."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.allow import REMOTE_CODE, user_allowed
from rlhf.config.composition.walk import Fault

# Settings of launchers of other packages that are commands, or bring some: of submitit (a prolog is
# among Slurm's additional parameters), of Ray, of Ray's clusters.
COMMANDS = re.compile(
    r"setup|python|srun_args|additional_parameters|runtime_env|\w+_commands|\w*run_options"
    r"|file_mounts"
)
REASON = "decides what is run: no file may set it; write it on the command line"


def command_faults(config: DictConfig, launcher: Any, given: Collection[str]) -> Iterator[Fault]:
    """The settings of Hydra's node that only a command line may give, and no word of it does.

    Args:
        launcher: Hydra's launcher, resolved.
        given: the words of the command line.
    """
    for name in config.hydra.job.get("env_set") or ():
        if not written(f"hydra.job.env_set.{name}", given):
            yield Fault(f"hydra.job.env_set.{name}", f"{REASON}, or {name}=... before rlhf")
    launcher = launcher if isinstance(launcher, dict) else {}
    target = str(launcher.get("_target_"))
    package = ".".join(target.split(".")[:2])
    for key, values in () if user_allowed(target) else _leaves(launcher, ("hydra", "launcher")):
        # a line of its own in a script of Slurm's is a command, whatever setting it stands in
        command = any(map(COMMANDS.fullmatch, key)) or any(
            len(str(v).splitlines()) > 1 for v in values
        )
        if command and any(values) and not written(".".join(key), given):
            yield Fault(".".join(key), f"{REASON}, or --allow-targets={package}")


def trust_faults(config: DictConfig, given: Collection[str]) -> Iterator[Fault]:
    """A model's own code runs by a word of the command line only."""
    trust = "model.trust_remote_code"
    try:
        asked = OmegaConf.select(config, trust, default=False) and not written(trust, given)
    except OmegaConfBaseException:  # what leads nowhere is refused with the rest of the config
        return
    if asked and not user_allowed(REMOTE_CODE):
        yield Fault(f"{trust}=true", f"{REASON}, or --allow-targets=transformers_modules")


def written(key: str, given: Collection[str]) -> bool:
    """Whether a word of the command line sets the key, a part of it, or a dict that has it."""
    last = key.rpartition(".")[2]
    for word in given:
        name, _, value = word.lstrip("+").partition("=")
        inside = value.startswith("{") and key.startswith(f"{name}.")
        if inside and re.search(rf"(?<![\w-]){re.escape(last)}['\"]?\s*:", value):
            return True
        if name == key or name.startswith(f"{key}."):
            return True
    return False


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Each key that holds no dict, with its values: those of a list, or one."""
    if isinstance(node, list) and any(isinstance(item, (dict, list)) for item in node):
        node = dict(enumerate(node))
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    else:
        yield path, node if isinstance(node, list) else [node]

"""Settings of Hydra's launcher and sweeper that are another option's: an experiment sets
`hydra.launcher.jobs` for the local launcher, and its command chooses `hydra/launcher=basic`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from rlhf.config.hints.nearest import did_you_mean

PARTS = ("launcher", "sweeper")
# what launchers call the number of jobs at a time
AT_ONCE = ("jobs", "n_jobs", "array_parallelism")
IN_TURN = "BasicLauncher"  # Hydra's own, which has no such setting

# of a group such as `hydra/launcher`: its options; of one of them: its settings, by its files
Options = Callable[[str], Sequence[str]]
Written = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class OthersSetting:
    """One that the chosen option does not have, and others of the group do."""

    part: str  # launcher or sweeper
    key: str
    value: object
    chosen: str  # the option
    owners: tuple[str, ...]  # the options that have it

    def __str__(self) -> str:
        return (
            f"hydra.{self.part}.{self.key}={self.value} is for"
            f" hydra/{self.part}={' or '.join(self.owners)}: left out, as"
            f" {self.chosen} has no such setting"
        )


def settings_of_others(
    config: DictConfig, options: Options, written: Written
) -> Iterator[OthersSetting]:
    """What the composed config has for its launcher and its sweeper that their own files lack and
    the files of others have. One that no file has stays: the class itself takes it or refuses it.

    Args:
        config: with Hydra's node.
    """
    for part in PARTS:
        node, group = config.hydra[part], f"hydra/{part}"
        chosen = str(config.hydra.runtime.choices.get(group))
        if not isinstance(node, DictConfig):
            continue
        own = written(f"{group}/{chosen}")
        values: Any = OmegaConf.to_container(node, resolve=False)
        strange = [str(key) for key in values if key not in own and key != "_target_"]
        files = {name: written(f"{group}/{name}") for name in options(group)} if strange else {}
        for key in strange:
            if owners := tuple(name for name, settings in files.items() if key in settings):
                yield OthersSetting(part, key, values[key], chosen, owners)


def no_such_setting(line: str, config: DictConfig, options: Options, written: Written) -> str:
    """Why an override of a setting of Hydra's launcher or sweeper is refused that the chosen option
    does not have; "" for any other override."""
    hydra, _, key = line.partition("=")[0].strip().rpartition(".")
    _, _, part = hydra.partition("hydra.")
    node = config.hydra[part] if part in PARTS else None
    if not isinstance(node, DictConfig) or key in node:
        return ""
    group = f"hydra/{part}"
    chosen = f"{group}={config.hydra.runtime.choices.get(group)}"
    names = options(group)
    owners = [f"{group}={name}" for name in names if key in written(f"{group}/{name}")]
    own = [str(name) for name in node if name != "_target_"]
    has = "have" if len(owners) > 1 else "has"
    instead = f"; {' and '.join(owners)} {has}" if owners else did_you_mean(key, own)
    return f"{chosen} has no such setting{instead}"


def take_away(config: DictConfig, settings: Sequence[OthersSetting]) -> None:
    """Removes them from a config that a launcher and a sweeper are made of."""
    for setting in settings:
        node = config.hydra[setting.part]
        with read_write(node), open_dict(node):
            node.pop(setting.key, None)


def asked_at_once(launcher: Any, others: Sequence[OthersSetting]) -> int | None:
    """The jobs that a launcher is asked to run at a time; None where it says nothing."""
    if not isinstance(launcher, DictConfig):
        return None
    if str(launcher.get("_target_")).endswith(f".{IN_TURN}"):
        return 1
    foreign = {setting.key for setting in others if setting.part == "launcher"}
    numbers = [launcher.get(key) for key in AT_ONCE if key not in foreign]
    return next((n for n in numbers if isinstance(n, int) and n > 0), None)

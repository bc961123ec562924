"""Settings of Hydra's own node that are decided here: another value would break a run, so that each
is refused with the setting to use instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from rlhf.config.composition.resolve import Fault
from rlhf.config.messages import show

# What conf/config.yaml sets, and what to use in place of another value.
FIXED: dict[str, tuple[object, str]] = {
    "run.dir": ("${paths.run_dir}", "a run's directory is paths.run_dir"),
    "sweep.dir": ("${paths.sweep_dir}", "a sweep's directory is paths.sweep_dir"),
    "sweep.subdir": ("${paths.run_name}", "the folder of a sweep's job is paths.run_name"),
    "output_subdir": (
        None,
        "a run writes config.yaml and manifest.json in its directory, Hydra nothing; leave it out",
    ),
    "job.chdir": (False, "paths are relative to where the command is given; leave it out"),
}
# What Hydra writes down of the command and its process. Nobody sets it.
NOTES = (
    "runtime",
    "overrides",
    "job.id",
    "job.num",
    "job.config_name",
    "job.override_dirname",
    "job.name",
)


def reserved_faults(config: DictConfig, given: Sequence[Override]) -> Iterator[Fault]:
    """Settings of Hydra's node that cannot be honoured: by an override, or by a file such as an
    experiment's.

    Args:
        config: with Hydra's node, unresolved.
        given: the overrides of the command line.
    """
    raw: Any = OmegaConf.to_container(config.hydra, resolve=False)
    for key, (ours, instead) in FIXED.items():
        value: object = raw
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value != ours and (value or ours):
            yield Fault(f"hydra.{key}={value}", f"is not offered: {instead}")
    for part in ("launcher", "sweeper"):
        if not isinstance(raw[part], dict) or "_target_" not in raw[part]:
            reason = f"expected a class with its settings; hydra/{part}=<option> chooses one"
            yield Fault(f"hydra.{part}={show(raw[part])}", reason)
    for override in given:
        name = override.key_or_group.removeprefix("hydra.")
        if override.is_hydra_override() and any(
            name == note or name.startswith(f"{note}.") for note in NOTES
        ):
            yield Fault(override.input_line or name, "is written by Hydra itself; leave it out")


def chosen_parts(config: DictConfig) -> dict[str, tuple[str, str]]:
    """The option and the class of Hydra's launcher and sweeper."""
    choices = config.hydra.runtime.choices
    nodes = {part: config.hydra[part] for part in ("launcher", "sweeper")}
    return {
        part: (str(choices.get(f"hydra/{part}")), str(node.get("_target_", "")))
        for part, node in nodes.items()
        if isinstance(node, DictConfig)
    }


def sweeper_params(config: DictConfig) -> dict[str, Any]:
    """The grid that a config itself has: `hydra.sweeper.params`."""
    node = config.hydra.sweeper
    return dict(node.get("params") or {}) if isinstance(node, DictConfig) else {}

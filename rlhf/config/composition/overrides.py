"""Reads overrides before Hydra does, to find every wrong name among them and to say what was meant.

Hydra stops at the first wrong name, and teaches `+key=` for a mistyped one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from rlhf.config.composition.hydra_internals import Hydra, names_in
from rlhf.config.composition.resolve import Fault
from rlhf.config.hints.aliases import in_words
from rlhf.config.hints.quoting import rewritten
from rlhf.config.messages import did_you_mean, leaves, nearest, pieces_at, show
from rlhf.config.naming import MOVED
from rlhf.config.pieces.base import BY_ADDRESS, ByTarget


@dataclass
class Groups:
    """The config groups that a Hydra can see."""

    loader: Any
    _options: dict[str, list[str]] = field(default_factory=dict)
    _exist: dict[str, bool] = field(default_factory=dict)

    def exists(self, group: str) -> bool:
        if group not in self._exist:
            self._exist[group] = bool(self.options(group) or self._groups(group))
        return self._exist[group]

    def options(self, group: str) -> list[str]:
        if group not in self._options:
            self._options[group] = sorted(names_in(self.loader, group, ObjectType.CONFIG))
        return self._options[group]

    def has(self, group: str, option: str) -> bool:
        folder, _, name = f"{group}/{option}".rpartition("/")
        return name.removesuffix(".yaml") in self.options(folder)

    def has_none(self, group: str) -> bool:
        """True of a group of which nothing is chosen by itself."""
        return group == "experiment"

    def every(self, parent: str = "") -> list[str]:
        """All groups but Hydra's own, nested ones too."""
        names = (name for name in self._groups(parent) if parent or name != "hydra")
        groups = [f"{parent}/{name}" if parent else name for name in names]
        return [each for group in groups for each in (group, *self.every(group))]

    def _groups(self, parent: str) -> list[str]:
        return names_in(self.loader, parent, ObjectType.GROUP)


def parse(lines: Iterable[str], hydra: Hydra) -> tuple[list[Override], list[Fault]]:
    """Overrides that can be read, and a fault for each other."""
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed, faults = [], []
    for line in lines:
        try:
            override = parser.parse_override(line)
            if not override.key_or_group:
                raise OverrideParseException(line, "it has no key")
            override.config_loader = hydra.config_loader  # which glob(...) asks
            parsed.append(override)
        except (OverrideParseException, HydraException) as error:
            reason = rewritten(line, parser.parse_override) or str(error).splitlines()[0]
            faults.append(Fault(line, f"cannot be read; {reason}"))
    return parsed, faults


def unread(faults: Iterable[Fault]) -> tuple[str, ...]:
    """The keys of lines that could not be read."""
    return tuple(fault.key.lstrip("+~").strip().replace("/", ".") for fault in faults)


def is_group(override: Override, groups: Groups) -> bool:
    """As Hydra decides it: the name is a group's and the value is no dict."""
    return groups.exists(override.key_or_group) and not isinstance(override.value(), dict)


def _values(override: Override) -> list[Any]:
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    value = override.value()
    return list(value) if isinstance(value, list) else [value]


def group_faults(override: Override, groups: Groups) -> Iterator[Fault]:
    """Wrong options of a group, and groups that do not exist."""
    name = override.key_or_group
    if is_group(override, groups):
        for value in _values(override):
            if groups.has(name, str(value)) or (value is None and override.is_delete()):
                continue
            if value is None and groups.has_none(name):
                yield Fault(f"{name}=null", "is so already; leave it out")
                continue
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield Fault(f"{name}={show(value)}", number_for_group(name, value))
                continue
            within = [group for group in groups.every(name) if str(value) in groups.options(group)]
            # a choice is short: the group counts with it
            near = nearest(f"{name}.{value}", (f"{name}.{each}" for each in groups.options(name)))
            close = near and near.removeprefix(f"{name}.")
            likely = [
                *(f"{group}={value}" for group in within),
                *([f"{name}={close}"] if close else []),
            ]
            meant = f"; did you mean {likely[0]}?" if likely else ""
            yield Fault(
                f"{name}={show(value)}",
                f"no such option; {name} has"
                f" {', '.join(groups.options(name)) or 'no options'}{meant}",
            )
    elif "/" in name and not override.is_hydra_override():
        shown = show(_values(override)[0])
        near = did_you_mean(name, groups.every())
        as_key = f"; for a value write {name.replace('/', '.')}={shown}"
        yield Fault(f"{name}={shown}", f"no such group{near or as_key}")


def key_fault(override: Override, config: DictConfig, groups: Groups) -> Fault | None:
    """A value override of a key that is not there, or of a whole group by `.` in place of `/`."""
    name = override.key_or_group
    if "/" in name:
        return None
    value = override.value()
    as_group = name.replace(".", "/")
    if isinstance(value, str) and groups.exists(as_group) and groups.has(as_group, value):
        return Fault(f"{name}={value}", f"{name} is a group; write {as_group}={value}")
    if isinstance(value, str) and _exists(config, name) and merges(config, name):
        chosen = (each for each in groups.every() if each.endswith(f"/{name}"))
        if group := next((each for each in chosen if groups.has(each, value)), None):
            return Fault(f"{name}={value}", f"{name} has keys and values; write {group}={value}")
    there = _exists(config, name)
    if (
        there
        and merges(config, name)
        and isinstance(value, dict)
        and not (override.is_add() or override.is_force_add())
    ):
        absent = (f"{name}.{key}" for key in leaves(value) if not _exists(config, f"{name}.{key}"))
        if key := next(absent, None):
            return Fault(override.input_line or name, f"no such key: {key}")
        return None
    if override.is_add() and there and not isinstance(value, (dict, list)):
        return Fault("", f"{override.input_line}: {name} is there already; leave out the +")
    if there or override.is_add() or override.is_force_add():
        return None
    if name in MOVED:
        return Fault(f"{name}={show(value)}", f"is {MOVED[name]} now")
    where = f"{name}={show(value)}" if not override.is_delete() else f"~{name}"
    hint = options_with(name, config) or in_words(name, lambda key: _exists(config, key))
    if hint := hint or ("" if override.is_delete() else free_names(name, config, show(value))):
        return Fault(where, f"no such key{hint}")
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    choices = [*leaves(OmegaConf.to_container(task)), *groups.every()]  # type: ignore[arg-type]
    return Fault(where, f"no such key{did_you_mean(name, choices)}")


def merges(config: DictConfig, name: str) -> bool:
    """True where the config has keys and values under a name, which those of an override join."""
    parent, _, last = name.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node._get_node(last), DictConfig)


def options_with(name: str, config: DictConfig) -> str:
    """The options of a group that have a key which the chosen one lacks: `kl.controller.target` is
    there with kl/controller=adaptive."""
    parent, _, last = name.rpartition(".")
    node = OmegaConf.select(config, parent, throw_on_resolution_failure=False) if parent else None
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    chosen = BY_ADDRESS.get(str(target))
    if chosen is None:
        return ""
    names = [piece.name for piece in pieces_at(parent) if last in piece.model_fields]
    group = parent.replace(".", "/")
    have = "have" if len(names) > 1 else "has"
    return f"; {group}={chosen.name} has none, {', '.join(names)} {have}" if names else ""


def free_names(name: str, config: DictConfig, value: str) -> str:
    """How a name of the user's own is given to a setting that takes any, `scorer.weights.NAME`."""
    parent, _, last = name.rpartition(".")
    owner, _, setting = parent.rpartition(".")
    node = OmegaConf.select(config, owner, throw_on_resolution_failure=False) if owner else None
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    piece = BY_ADDRESS.get(str(target))
    kind = piece.model_fields[setting] if piece and setting in piece.model_fields else None
    if kind is None or not (values := mapped(kind.annotation)):
        return ""
    if any(isinstance(each, ByTarget) for each in getattr(values[0], "__metadata__", ())):
        return f"; +{owner.partition('.')[0]}@{name}=OPTION adds one"
    if node is not None and node.get(setting) is None:
        return f"; {parent} is null: write '{parent}={{{last}: {value}}}'"
    return f"; {parent} takes names of your own: +{name}={value}"


def mapped(annotation: Any) -> list[Any]:
    """The type of the values of a dict that an annotation allows; [] where there is none."""
    if get_origin(annotation) is dict:
        return [get_args(annotation)[1]]
    return [each for inner in get_args(annotation) for each in mapped(inner)]


def number_for_group(name: str, value: float) -> str:
    """Why a group has no such option: `kl/coef=0.1` is meant as a value."""
    key = name.replace("/", ".")
    instead = f"; for a value write {key}={value}" if name == "kl/coef" else ""
    return f"{name} chooses a file of settings by its name{instead}"


def _exists(config: DictConfig, name: str) -> bool:
    node: Any = config
    for part in name.split("."):
        if not OmegaConf.is_dict(node) or part not in list(node):
            return False
        without_value = OmegaConf.is_interpolation(node, part) or OmegaConf.is_missing(node, part)
        node = None if without_value else node[part]
    return True

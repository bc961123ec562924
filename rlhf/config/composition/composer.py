"""Composes configs as Hydra does, but each choice of groups once: values are set on a copy."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.composition.hydra_internals import (
    Hydra,
    quick_loading,
    set_value,
    settings_in_files,
)
from rlhf.config.composition.judged.others import no_such_setting
from rlhf.config.composition.overrides import Groups, is_group, key_fault
from rlhf.config.composition.resolve import Fault
from rlhf.config.composition.session import CONFIG_NAME
from rlhf.config.composition.walk import MISSING, plain_value

Lines = tuple[str, ...]
REFUSALS = (HydraException, OmegaConfBaseException, yaml.YAMLError)


@dataclass
class Composer:
    hydra: Hydra
    groups: Groups
    _bases: dict[Lines, tuple[DictConfig, list[Fault]]] = field(default_factory=dict)
    _drafts: dict[tuple[Lines, Lines], DictConfig] = field(default_factory=dict)
    _settled: dict[Lines, dict[str, tuple[Any, frozenset[str]]]] = field(default_factory=dict)

    def base(self, lines: Lines, faults: list[Fault]) -> DictConfig:
        """The config of these group choices; of those that Hydra refuses, a fault each and the
        config without them."""
        if lines not in self._bases:
            try:
                self._bases[lines] = (self._load(lines), [])
            except Exception as error:  # Hydra raises whatever a value broke in it
                fine, bad = self._sort_out(lines)
                self._bases[lines] = (self._load(fine), bad or [Fault("", reason(error))])
        config, wrong = self._bases[lines]
        faults += wrong
        return config

    def _load(self, lines: Lines) -> DictConfig:
        with quick_loading():
            return self.hydra.config_loader.load_configuration(
                CONFIG_NAME, overrides=list(lines), run_mode=RunMode.RUN, from_shell=False
            )

    def _sort_out(self, lines: Lines) -> tuple[Lines, list[Fault]]:
        fine: Lines = ()
        bad = []
        for line in sorted(lines, key=lambda line: "." in line.partition("=")[0]):  # choices first
            try:
                self._load((*fine, line))
                fine += (line,)
            except Exception as error:
                config = self._load(fine)
                written = partial(settings_in_files, sources=config.hydra.runtime.config_sources)
                why = no_such_setting(line, config, self.groups.options, written)
                bad.append(Fault("", f"{line}: {why or reason(error)}"))
        return fine, bad

    def compose(
        self,
        overrides: Sequence[Override],
        hydra_lines: Lines,
        skip: Lines = (),
        *,
        draft: bool = False,
    ) -> tuple[DictConfig, list[Fault]]:
        """The config of one job.

        Args:
            skip: keys below these are not judged, for their group's option is wrong.
            draft: the config may be the one that an earlier call gave, with this job's values; it
                is good until the next call.
        """
        faults: list[Fault] = []
        chosen = self._chosen(overrides)
        base = self.base((*hydra_lines, *chosen), faults)
        if draft and all(line_of(o) in chosen or sets_leaf(o, base) for o in overrides):
            # the same leaves in the same order: nothing of the last job's values is left
            own = ((*hydra_lines, *chosen), tuple(o.key_or_group for o in overrides))
            if own not in self._drafts:
                self._drafts[own] = copy.deepcopy(base)
            config = self._drafts[own]
            OmegaConf.clear_cache(config)  # it holds the name of the sweep, which has `study` in it
        else:
            config = copy.deepcopy(base)
        for override in overrides:
            if line_of(override) in chosen or below(override.key_or_group, skip):
                continue
            if fault := key_fault(override, config, self.groups):
                faults.append(fault)
                continue
            try:
                set_value(config, override)
            except (HydraException, OmegaConfBaseException) as error:
                faults.append(Fault("", f"{line_of(override)}: {reason(error)}"))
        return config, faults

    def _chosen(self, overrides: Sequence[Override]) -> Lines:
        return tuple(
            line_of(o) for o in overrides if is_group(o, self.groups) and not o.is_force_add()
        )

    def settled(self, overrides: Sequence[Override], hydra_lines: Lines) -> dict[str, Any]:
        """The sections that no override of a job touches, nor anything that they refer to, as plain
        values: all jobs of the same choices share them."""
        lines = (*hydra_lines, *self._chosen(overrides))
        if lines not in self._settled:
            self._settled[lines] = settled_sections(self.base(lines, []))
        touched = [o.key_or_group.replace("/", ".") for o in overrides if line_of(o) not in lines]

        def holds(on: str) -> bool:
            return not any(below(each, (on,)) or below(on, (each,)) for each in touched)

        known = self._settled[lines].items()
        return {k: value for k, (value, refers) in known if all(map(holds, (k, *refers)))}


def settled_sections(config: DictConfig) -> dict[str, tuple[Any, frozenset[str]]]:
    """The sections whose values are known without a resolver, each with all keys that they refer
    to."""
    raw: Any = OmegaConf.to_container(config, resolve=False)
    sections = {}
    for key, section in raw.items():
        refers = references(section, raw) if key != "hydra" and isinstance(section, dict) else None
        faults: list[Fault] = []
        value = plain_value(config, key, str(key), faults) if refers is not None else None
        if refers is not None and not faults:
            sections[str(key)] = (value, refers)
    return sections


def references(value: Any, raw: dict[str, Any], depth: int = 0) -> frozenset[str] | None:
    """The dotted keys that a plain value's interpolations follow, by however many steps; None
    where a resolver, a missing value or anything unusual is among them."""
    if isinstance(value, (dict, list)):
        values = value.values() if isinstance(value, dict) else value
        inner = [references(each, raw, depth) for each in values]
        known = [each for each in inner if each is not None]
        return frozenset().union(*known) if len(known) == len(inner) else None
    if not isinstance(value, str) or ("${" not in value and value != MISSING):
        return frozenset()
    names = re.findall(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}", value)
    if value == MISSING or len(names) != value.count("${") or depth > 8:
        return None
    every = frozenset(names)
    for name in names:
        node: Any = raw
        for part in name.split("."):
            if not isinstance(node, dict) or part not in node:
                return None
            node = node[part]
        further = references(node, raw, depth + 1)
        if further is None:
            return None
        every |= further
    return every


def sets_leaf(override: Override, config: DictConfig) -> bool:
    """True if an override puts a single value where the config has one."""
    parent, _, last = override.key_or_group.rpartition(".")
    if override.type != OverrideType.CHANGE or isinstance(override.value(), (dict, list)):
        return False
    node = OmegaConf.select(config, parent, throw_on_missing=False) if parent else config
    return (
        isinstance(node, DictConfig)
        and last in node
        and not OmegaConf.is_config(node._get_node(last))
    )


def reason(error: BaseException) -> str:
    """Hydra's own words, without the parts that only its developers need."""
    refused = (TypeError, ValueError)
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, refused):
        return str(error.__cause__)  # a launcher or a sweeper of ours refuses its settings
    lines = (str(error) or str(error.__cause__ or "")).splitlines()
    internal = ("full_key:", "object_type=", "reference_type=")
    if lines and lines[0].startswith("Error merging override") and error.__cause__:
        lines = str(error.__cause__).splitlines()[:1]
    text = " ".join(lines)
    if chosen := re.match(r"Multiple values for (\S+)\.", text):
        return f"{chosen[1]} is chosen already; leave out the +"
    if several := re.match(r"Ambiguous value for argument '(.+?)'", text):
        return f"{several[1]}: several values make a sweep; add -m"
    meant = re.match(r"Could not override \S+\s*Did you mean to override (?:one of )?(.+?)\?", text)
    if meant:  # of an option that is chosen at several places
        return f"no such choice; here it is {meant[1]}=..."
    kept = (line.strip() for line in lines if not line.strip().startswith(internal))
    return " ".join(filter(None, kept)) or type(error).__name__


def line_of(override: Override) -> str:
    return override.input_line or override.get_key_element()


def below(key: str, prefixes: Iterable[str]) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)

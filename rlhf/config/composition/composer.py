"""Composes configs as Hydra does, but each choice of groups once: values are set on a copy."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from rlhf.config.composition.hydra_internals import Hydra, set_value
from rlhf.config.composition.overrides import Groups, is_group, key_fault
from rlhf.config.composition.resolve import Fault
from rlhf.config.composition.session import CONFIG_NAME

Lines = tuple[str, ...]
REFUSALS = (HydraException, OmegaConfBaseException, yaml.YAMLError)


@dataclass
class Composer:
    hydra: Hydra
    groups: Groups
    _bases: dict[Lines, DictConfig] = field(default_factory=dict)

    def base(self, lines: Lines, faults: list[Fault]) -> DictConfig:
        """The config of these group choices; of those that Hydra refuses, a fault each and the
        config without them."""
        if lines not in self._bases:
            try:
                self._bases[lines] = self._load(lines)
            except REFUSALS as error:
                fine, bad = self._sort_out(lines)
                faults += bad or [Fault("", reason(error))]
                self._bases[lines] = self._load(fine)
        return self._bases[lines]

    def _load(self, lines: Lines) -> DictConfig:
        return self.hydra.config_loader.load_configuration(
            CONFIG_NAME, overrides=list(lines), run_mode=RunMode.RUN, from_shell=False
        )

    def _sort_out(self, lines: Lines) -> tuple[Lines, list[Fault]]:
        fine: Lines = ()
        bad = []
        for line in lines:
            try:
                self._load((*fine, line))
                fine += (line,)
            except REFUSALS as error:
                bad.append(Fault("", f"{line}: {reason(error)}"))
        return fine, bad

    def compose(
        self, overrides: Sequence[Override], hydra_lines: Lines, skip: Lines = ()
    ) -> tuple[DictConfig, list[Fault]]:
        """The config of one job. `skip`: keys below these are not judged, for their group's
        option is wrong."""
        faults: list[Fault] = []
        chosen = tuple(
            line_of(o) for o in overrides if is_group(o, self.groups) and not o.is_force_add()
        )
        config = copy.deepcopy(self.base((*hydra_lines, *chosen), faults))
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


def reason(error: BaseException) -> str:
    """Hydra's own words, without the parts that only its developers need."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError):
        return str(error.__cause__)  # a launcher or a sweeper of ours refuses its settings
    lines = (str(error) or str(error.__cause__ or "")).splitlines()
    internal = ("full_key:", "object_type=", "reference_type=")
    kept = (line.strip() for line in lines if not line.strip().startswith(internal))
    return " ".join(filter(None, kept)) or type(error).__name__


def line_of(override: Override) -> str:
    return override.input_line or override.get_key_element()


def below(key: str, prefixes: Iterable[str]) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)

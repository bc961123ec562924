"""What a command line means: one run or the jobs of a sweep, each checked, or everything that is
wrong with them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import yaml
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rlhf.config import naming
from rlhf.config.allow import HYDRA_PREFIXES, refusal, targets, user_allowed
from rlhf.config.composition.hydra_internals import Hydra, grid_of, set_value
from rlhf.config.composition.overrides import Groups, group_faults, is_group, key_fault, parse
from rlhf.config.composition.resolve import Fault, own_names, resolve
from rlhf.config.composition.session import CONFIG_NAME
from rlhf.config.schema import Config
from rlhf.config.validate import ConfigError, cautions, examine

Lines = tuple[str, ...]


@dataclass(frozen=True)
class PlannedJob:
    overrides: Lines
    config: Config | None  # None where it is wrong


@dataclass
class Plan:
    sweep: bool = False
    name: str = ""  # of the sweep
    jobs: list[PlannedJob] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what is allowed and still needs care


@dataclass
class Composer:
    """Composes as Hydra does, but each choice of groups once: values are set on a copy."""

    hydra: Hydra
    groups: Groups
    _bases: dict[Lines, DictConfig] = field(default_factory=dict)

    def base(self, lines: Lines, faults: list[Fault]) -> DictConfig:
        """The config of these group choices; of those that Hydra refuses, a fault each and the
        config without them."""
        if lines not in self._bases:
            try:
                self._bases[lines] = self._load(lines)
            except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
                fine, bad = self._sort_out(lines)
                faults += bad or [Fault("", reason(error))]
                self._bases[lines] = self._load(fine)
        return self._bases[lines]

    def _load(self, lines: Lines) -> DictConfig:
        loader = self.hydra.config_loader
        return loader.load_configuration(
            CONFIG_NAME, overrides=list(lines), run_mode=RunMode.RUN, from_shell=False
        )

    def _sort_out(self, lines: Lines) -> tuple[Lines, list[Fault]]:
        fine: Lines = ()
        bad = []
        for line in lines:
            try:
                self._load((*fine, line))
                fine = (*fine, line)
            except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
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
            fault = key_fault(override, config, self.groups)
            if fault is None:
                try:
                    set_value(config, override)
                except (HydraException, OmegaConfBaseException) as error:
                    fault = Fault("", f"{line_of(override)}: {reason(error)}")
            faults += [fault] if fault else []
        return config, faults


def reason(error: BaseException) -> str:
    """What Hydra says, without the parts that only its developers need."""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, ValueError):
        return str(error.__cause__)  # a launcher or a sweeper of ours refuses its settings
    told = str(error) or str(error.__cause__ or type(error).__name__)
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return (
        " ".join(
            line
            for line in lines
            if not line.startswith(("full_key:", "object_type=", "reference_type="))
        )
        or type(error).__name__
    )


def line_of(override: Override) -> str:
    return override.input_line or override.get_key_element()


def below(key: str, prefixes: Iterable[str]) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)


def _names(overrides: list[Override], groups: Groups) -> tuple[list[Override], list[Fault], Lines]:
    """Overrides whose names are right, the faults of the others, and the keys that those would
    have filled."""
    fine, faults, spoiled = [], [], []
    for override in overrides:
        found = list(group_faults(override, groups))
        if override.is_hydra_override() and override.is_sweep_override():
            found.append(Fault("", f"{line_of(override)}: Hydra's own settings cannot be swept"))
        faults += found
        if found:
            spoiled.append(override.package or override.key_or_group.replace("/", "."))
        else:
            fine.append(override)
    return fine, faults, tuple(spoiled)


def plan(hydra: Hydra, lines: Sequence[str], *, multirun: bool = False) -> Plan:
    """Reads, composes and checks all jobs of a command line."""
    groups = Groups(hydra.config_loader)
    composer = Composer(hydra, groups)
    parsed, faults = parse(lines, hydra)
    overrides, wrong, spoiled = _names(parsed, groups)
    faults += wrong
    hydra_lines = tuple(line_of(o) for o in overrides if o.is_hydra_override())
    task = [o for o in overrides if not o.is_hydra_override()]
    choices = [o for o in task if is_group(o, groups) and not o.is_sweep_override()]
    master = composer.base((*hydra_lines, *map(line_of, choices)), faults)
    faults += _hydra_targets(master)
    found = Plan(sweep=multirun or master.hydra.mode == RunMode.MULTIRUN)
    params = dict(master.hydra.sweeper.get("params") or {}) if found.sweep else {}
    grid, more = parse([f"{key}={value}" for key, value in params.items()], hydra)
    grid, wrong, more_spoiled = _names(grid, groups)
    faults += more + wrong
    if not found.sweep:
        several = [o for o in task if o.is_sweep_override()]
        faults += [
            Fault(
                "",
                f"{line_of(o)}: several values make a sweep; add -m (as one value: key=[a,b] or"
                " quotes)",
            )
            for o in several
        ]
        task = [o for o in task if not o.is_sweep_override()]
    jobs = _jobs([*grid, *task], hydra)
    told = _examine(composer, jobs, hydra_lines, (*spoiled, *more_spoiled), params, found)
    found.faults = list(dict.fromkeys([*map(str, faults), *told]))
    if found.jobs and found.jobs[0].config is not None:
        shown = {"study": found.jobs[0].config.study, "sweep": found.jobs[0].config.sweep}
        given = [line_of(o) for o in parsed if not o.is_hydra_override()]
        found.name = naming.sweep_name(
            shown, [*given, *(f"{key}={value}" for key, value in params.items())]
        )
    return found


def _jobs(overrides: list[Override], hydra: Hydra) -> list[list[Override]]:
    """The grid, as Hydra's basic sweeper makes it; of an interval (another sweeper's) its two
    ends."""
    lines = []
    for override in overrides:
        value = override.value()
        ends = f"{value.start},{value.end}" if isinstance(value, IntervalSweep) else None
        lines.append(f"{override.get_key_element()}={ends}" if ends else line_of(override))
    ready, _ = parse(lines, hydra)
    return [parse(job, hydra)[0] for job in grid_of(ready)]


def _examine(
    composer: Composer,
    jobs: list[list[Override]],
    hydra_lines: Lines,
    spoiled: Lines,
    params: dict[str, str],
    found: Plan,
) -> list[str]:
    """Fills `found.jobs` and `found.warnings`; returns each fault once, with the jobs that have
    it unless all do."""
    seen: dict[str, list[int]] = {}
    careful: dict[str, list[int]] = {}
    for index, overrides in enumerate(jobs):
        config, faults = composer.compose(overrides, hydra_lines, spoiled)
        own = dict(config.hydra.sweeper.get("params") or {})
        if found.sweep and own.keys() - params.keys():
            faults.append(
                Fault(
                    "",
                    f"{' '.join(map(line_of, overrides))}: this experiment is a sweep of its own;"
                    " give it alone",
                )
            )
        typed, wrong = examine(
            config,
            doubted={key.partition(".")[0] for key in (*spoiled, *(fault.key for fault in faults))},
        )
        faults += [fault for fault in wrong if not below(fault.key, spoiled)]
        found.jobs.append(PlannedJob(tuple(map(line_of, overrides)), None if faults else typed))
        for text in dict.fromkeys(map(str, faults)):
            seen.setdefault(text, []).append(index)
        for text in cautions(typed) if typed else ():
            careful.setdefault(text, []).append(index)
    found.warnings = [text + _where(indices, jobs) for text, indices in careful.items()]
    return [text + _where(indices, jobs) for text, indices in seen.items()]


def _where(indices: list[int], jobs: list[list[Override]]) -> str:
    if len(indices) == len(jobs):
        return ""
    swept = [[line_of(o) for o in job] for job in jobs]
    common = set.intersection(*map(set, swept))
    first = " ".join(line for line in swept[indices[0]] if line not in common)
    return f"  [{len(indices)} of {len(jobs)} jobs: {first}{', ...' if len(indices) > 1 else ''}]"


def _hydra_targets(config: DictConfig) -> list[Fault]:
    """Hydra builds what its own node names, so that is checked too."""
    plain = OmegaConf.to_container(config.hydra, resolve=False)
    wrong = [
        (path, t)
        for path, t in targets(plain)
        if not (str(t).startswith(HYDRA_PREFIXES) or user_allowed(t))
    ]
    return [
        Fault(f"hydra.{'.'.join(path)}._target_={target}", refusal(target))
        for path, target in wrong
    ]


def compose_one(hydra: Hydra, lines: Sequence[str]) -> DictConfig:
    """One config, Hydra's node removed.

    Raises:
        ConfigError: for names that are wrong; values are not checked here.
    """
    groups = Groups(hydra.config_loader)
    parsed, faults = parse(lines, hydra)
    overrides, wrong, spoiled = _names(parsed, groups)
    faults += wrong + [
        Fault("", f"{line_of(o)}: several values make a sweep, not one config")
        for o in overrides
        if o.is_sweep_override()
    ]
    single = [o for o in overrides if not o.is_sweep_override()]
    hydra_lines = tuple(line_of(o) for o in single if o.is_hydra_override())
    config, more = Composer(hydra, groups).compose(
        [o for o in single if not o.is_hydra_override()], hydra_lines, spoiled
    )
    if faults + more:
        raise ConfigError(map(str, faults + more))
    without = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    for where, name in own_names(config, resolve(config)[0]).items():
        OmegaConf.update(without, ".".join((*where, "_name_")), name, force_add=True)
    OmegaConf.set_struct(without, True)
    return without

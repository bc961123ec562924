"""The meaning of a command line: one run or the jobs of a sweep, each checked, or everything
that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from rlhf.config import naming
from rlhf.config.composition.composer import Composer, Lines, below, line_of
from rlhf.config.composition.goals import goal_faults
from rlhf.config.composition.grid import grid_faults, jobs_of, unasked
from rlhf.config.composition.hydra_internals import (
    Hydra,
    note_overrides,
    parsed_once,
    settings_in_files,
)
from rlhf.config.composition.hydra_node import Judge
from rlhf.config.composition.judged.others import (
    OthersSetting,
    asked_at_once,
    settings_of_others,
)
from rlhf.config.composition.overrides import Groups, group_faults, is_group, parse, unread
from rlhf.config.composition.resolve import Fault, name_sweep
from rlhf.config.hints.reserved import chosen_parts, reserved_faults, sweeper_params
from rlhf.config.hints.several import spelled
from rlhf.config.schema import Config
from rlhf.config.validate import Judged, cautions, examine


@dataclass(frozen=True)
class PlannedJob:
    overrides: Lines
    config: Config | None  # None where it is wrong


@dataclass
class Plan:
    sweep: bool = False
    name: str = ""  # of the sweep
    words: list[str] = field(default_factory=list)  # of the command and its grid: they name it
    searches: int | None = None  # trials at most, where a sweep is a search
    jobs: list[PlannedJob] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # what is allowed and still needs care
    parts: dict[str, tuple[str, str]] = field(default_factory=dict)  # Hydra's: option, class
    at_once: int | None = None  # jobs, where the launcher is asked for so many
    others: list[OthersSetting] = field(default_factory=list)  # what is left out of Hydra's parts
    room: int | None = None  # jobs that this machine's memory has room for, once it was asked
    composed: DictConfig | None = None  # of a single run, Hydra's node in it


def place_of(override: Override) -> str:
    """The dotted key that it fills."""
    return override.package or override.key_or_group.replace("/", ".")


def right_names(
    overrides: list[Override], groups: Groups
) -> tuple[list[Override], list[Fault], Lines]:
    """Overrides whose names are right, the faults of the others, and the keys that those would
    have filled."""
    fine, faults, spoiled = [], [], []
    for override in overrides:
        wrong = [*grid_faults(override, groups)] or [*group_faults(override, groups)]
        if override.is_hydra_override() and override.is_sweep_override():
            wrong.append(Fault("", f"{line_of(override)}: Hydra's own settings cannot be swept"))
        faults += wrong
        if wrong:
            spoiled.append(place_of(override))
        else:
            fine.append(override)
    return fine, faults, tuple(spoiled)


def plan(
    hydra: Hydra,
    lines: Sequence[str],
    *,
    multirun: bool = False,
    composer: Composer | None = None,
) -> Plan:
    """Reads, composes and checks all jobs of a command line.

    Args:
        composer: what earlier command lines have composed, for one that has the same choices.
    """
    composer = composer or Composer(hydra, Groups(hydra.config_loader))
    groups = composer.groups
    parsed, faults = parse(lines := spelled(lines), hydra)
    overrides, wrong, spoiled = right_names(parsed, groups)
    spoiled += unread(faults)
    faults += wrong
    hydra_lines = tuple(line_of(o) for o in overrides if o.is_hydra_override())
    task = [o for o in overrides if not o.is_hydra_override()]
    choices = [o for o in task if is_group(o, groups) and not o.is_sweep_override()]
    master = composer.base((*hydra_lines, *map(line_of, choices)), faults)
    judge = Judge(lines)
    faults += judge.faults(master, (), ("the command",))
    faults += reserved_faults(master, overrides)
    planned = _begun(master, multirun, groups)
    params = sweeper_params(master) if planned.sweep else {}
    swept = [f"{key}={value}" for key, value in params.items()]
    grid, more = parse(swept, hydra)
    grid, wrong, more_spoiled = right_names(grid, groups)
    faults += more + wrong
    if not planned.sweep:
        faults += map(unasked, filter(Override.is_sweep_override, task))
        spoiled += tuple(place_of(o) for o in task if o.is_sweep_override())
        task = [o for o in task if not o.is_sweep_override()]
    given = [line_of(o) for o in parsed if not o.is_hydra_override()]
    planned.words = [*given, *swept]
    jobs, many = jobs_of([*grid, *task], hydra, *planned.parts.get("sweeper", ())[1:])
    faults += many
    spoiled += more_spoiled + unread(more)
    judged = _examine(composer, jobs, hydra_lines, spoiled, params, planned, judge)
    if planned.composed is not None and not faults and not judged:
        note_overrides(planned.composed, parsed)
    if planned.sweep and not judged and not faults:
        configs = [job.config for job in planned.jobs if job.config is not None]
        judged += goal_faults(master.hydra.sweeper, configs)
    planned.faults = list(dict.fromkeys([*map(str, faults), *judged]))
    if planned.jobs and (first := planned.jobs[0].config) is not None:
        planned.name = naming.sweep_name(dict(first), planned.words)
    return planned


def _begun(master: DictConfig, multirun: bool, groups: Groups) -> Plan:
    """What is known without a job's config."""
    sweep = multirun or master.hydra.mode == RunMode.MULTIRUN
    sources = master.hydra.runtime.config_sources
    others = settings_of_others(master, groups.options, partial(settings_in_files, sources=sources))
    planned = Plan(sweep=sweep, others=[*others] if sweep else [])
    planned.searches = _trials(master) if sweep else None
    planned.parts = chosen_parts(master)
    planned.at_once = asked_at_once(master.hydra.launcher, planned.others)
    planned.warnings = [*map(str, planned.others)]
    return planned


def _trials(master: DictConfig) -> int | None:
    """The most trials of a search; None of a grid."""
    sweeper: Any = master.hydra.sweeper if isinstance(master.hydra.sweeper, DictConfig) else {}
    most = sweeper.get("n_trials") or sweeper.get("n_points")
    return most if isinstance(most, int) else None


@parsed_once()
def _examine(
    composer: Composer,
    jobs: list[list[Override]],
    hydra_lines: Lines,
    spoiled: Lines,
    params: dict[str, str],
    planned: Plan,
    judge: Judge,
) -> list[str]:
    """Fills `planned.jobs` and `planned.warnings`; returns each fault once, with the jobs that have
    it unless all do."""
    seen: dict[str, list[int]] = {}
    careful: dict[str, list[int]] = {}
    judged: Judged = {}
    for index, overrides in enumerate(jobs):
        config, faults = composer.compose(overrides, hydra_lines, spoiled, draft=planned.sweep)
        words = tuple(map(line_of, overrides))
        choices = tuple(line_of(o) for o in overrides if is_group(o, composer.groups))
        faults += judge.faults(config, words, choices)
        if planned.sweep and sweeper_params(config).keys() - params.keys():
            reason = "this experiment is a sweep of its own; give it alone"
            faults.append(Fault("", f"{' '.join(words)}: {reason}"))
        planned.composed = None if planned.sweep else config
        if planned.sweep:
            name_sweep(config, planned.words)
        doubted = (*spoiled, *(fault.key for fault in faults))
        typed, wrong = examine(
            config,
            doubted={key.partition(".")[0] for key in doubted},
            settled=composer.settled(overrides, hydra_lines) if planned.sweep else None,
            judged=judged,
        )
        faults += [fault for fault in wrong if not below(fault.key, spoiled)]
        planned.jobs.append(PlannedJob(words, None if faults else typed))
        for text in dict.fromkeys(map(str, faults)):
            seen.setdefault(text, []).append(index)
        for text in cautions(typed) if typed else ():
            careful.setdefault(text, []).append(index)
    planned.warnings += [text + _where(indices, jobs) for text, indices in careful.items()]
    return [text + _where(indices, jobs) for text, indices in seen.items()]


def _where(indices: list[int], jobs: list[list[Override]]) -> str:
    if len(indices) == len(jobs):
        return ""
    swept = [[line_of(o) for o in job] for job in jobs]
    common = set.intersection(*map(set, swept))
    first = " ".join(line for line in swept[indices[0]] if line not in common)
    return f"  [{len(indices)} of {len(jobs)} jobs: {first}{', ...' if len(indices) > 1 else ''}]"

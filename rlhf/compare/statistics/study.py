"""Everything that is computed of the runs of a comparison, once: pictures, words and pages only
show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.compare.read import Curve, Run, curve, fingerprints, manifests
from rlhf.compare.read.searches import Crossing, Search, searches
from rlhf.compare.statistics.exact import Exact, exact
from rlhf.compare.statistics.findings import Findings, find
from rlhf.compare.statistics.health import Sickness, by_kind, diagnose, well
from rlhf.compare.statistics.matched import Matched, matched
from rlhf.compare.statistics.settings import (
    Setting,
    copied,
    differing,
    group,
    reward_keys,
    starts,
)
from rlhf.compare.statistics.step_response import Steering, steering


@dataclass(frozen=True, kw_only=True)
class Study:
    """The runs of a comparison, their settings, and what follows from them."""

    directory: Path  # of the comparison, not of its runs
    runs: Sequence[Run]
    unfinished: Sequence[Run]
    settings: Sequence[Setting]  # the finished runs by what differs
    members: Sequence[tuple[Setting, Run]]  # each run that counts, with its setting
    rewards: Sequence[str]  # their keys
    findings: Findings | None
    differing: dict[str, dict[str, Any]]  # config key -> {run name: value}
    copies: dict[str, str]  # name of a run in no number -> name of the one of its seed that counts
    starts: Sequence[Sequence[Setting]]  # the settings by the SFT policy they began from
    searches: Sequence[Search | Crossing]
    best_of_n: Curve | None  # of SFT; None also where there are several SFT policies
    exact: Exact
    steering: Sequence[tuple[Setting, Steering]]  # of `members`
    moved: bool  # whether the coefficient of a run did not stay where it began
    matched: Sequence[Matched]  # each reward; none where no run has finished
    sick: Sequence[tuple[Sickness, list[Sickness]]]  # each kind, and the others that have it
    well: str
    fingerprints: dict[str, list[str]]
    manifests: Sequence[dict[str, Any]]


def study(directory: Path, runs: Sequence[Run]) -> Study:
    """The study of these runs, whose files go into `directory`."""
    settings, rewards = group(runs), reward_keys(runs)
    members = [(s, run) for s in settings for run in s.runs]
    beginnings, copies = starts(settings), copied(settings)
    steered = [(s, steering(run)) for s, run in members]
    return Study(
        directory=directory,
        runs=runs,
        unfinished=[run for run in runs if not run.finished],
        settings=settings,
        members=members,
        rewards=rewards,
        findings=find(settings),
        differing=differing(runs),
        copies=copies,
        starts=beginnings,
        searches=searches(runs),
        best_of_n=curve([run for _, run in members]) if len(beginnings) == 1 else None,
        exact=exact(runs, copies),
        steering=steered,
        moved=any(len({coef for _, coef in s.coef}) > 1 for _, s in steered),
        matched=[matched(settings, key) for key in rewards] if settings else [],
        sick=by_kind(diagnose(settings, runs)),
        well=well(settings),
        fingerprints=fingerprints(runs),
        manifests=manifests(runs),
    )

"""Everything that is computed of the runs of a comparison, once: pictures, words and pages only
show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rlhf.compare.read.best_of_n import Curve, curve
from rlhf.compare.read.provenance import fingerprints, manifests
from rlhf.compare.read.runs import Run
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
    """`settings` are the finished runs grouped by what differs, and `members` the runs that count,
    each with its setting."""

    directory: Path  # of the comparison, not of its runs
    runs: Sequence[Run]
    settings: Sequence[Setting]
    rewards: Sequence[str]  # their keys
    findings: Findings | None
    differing: dict[str, dict[str, Any]]  # config key -> {run name: value}
    copies: dict[str, str]  # name of a run in no number -> name of the one of its seed that counts
    starts: Sequence[Sequence[Setting]]  # the settings by the SFT policy they began from
    searches: Sequence[Search | Crossing]

    @property
    def members(self) -> list[tuple[Setting, Run]]:
        return [(s, run) for s in self.settings for run in s.runs]

    @property
    def unfinished(self) -> list[Run]:
        return [run for run in self.runs if not run.finished]

    @cached_property
    def best_of_n(self) -> Curve | None:
        """That of SFT; None also where there are several SFT policies: it is of one of them."""
        return curve([run for _, run in self.members]) if len(self.starts) == 1 else None

    @cached_property
    def exact(self) -> Exact:
        return exact(self.runs, self.copies)

    @cached_property
    def steering(self) -> list[Steering]:
        return [steering(s, run) for s, run in self.members]

    @property
    def moved(self) -> bool:
        """Whether the coefficient of a run did not stay where it began."""
        return any(len({coef for _, coef in s.coef}) > 1 for s in self.steering)

    @cached_property
    def matched(self) -> list[Matched]:
        """Each reward at matched KL; empty where no run has finished."""
        return [matched(self.settings, key) for key in self.rewards] if self.settings else []

    @cached_property
    def sick(self) -> list[tuple[Sickness, list[Sickness]]]:
        return by_kind(diagnose(self.settings, self.runs))

    @cached_property
    def well(self) -> str:
        return well(self.settings)

    @cached_property
    def fingerprints(self) -> dict[str, list[str]]:
        return fingerprints(self.runs)

    @cached_property
    def manifests(self) -> list[dict[str, Any]]:
        return manifests(self.runs)


def study(directory: Path, runs: Sequence[Run]) -> Study:
    """The study of these runs, whose files go into `directory`."""
    settings = group(runs)
    return Study(
        directory=directory,
        runs=runs,
        settings=settings,
        rewards=reward_keys(runs),
        findings=find(settings),
        differing=differing(runs),
        copies=copied(settings),
        starts=starts(settings),
        searches=searches(runs),
    )

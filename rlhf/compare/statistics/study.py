"""Everything that is computed of the runs of a comparison, once: pictures, words and pages only
show it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf.compare.read import (
    Curve,
    Kept,
    Run,
    best_of_n,
    fingerprints,
    manifests,
    paths,
    realigned,
)
from rlhf.compare.read.differing import brought, differing
from rlhf.compare.read.searches import Crossing, Search, searches
from rlhf.compare.statistics.along_kl.matched import Matched, Nearer, matched
from rlhf.compare.statistics.along_kl.overoptimisation import Fit, fit, gold_gains, gold_start
from rlhf.compare.statistics.findings import Findings, find
from rlhf.compare.statistics.health import Sickness, by_kind, diagnose, well
from rlhf.compare.statistics.means import NOTHING
from rlhf.compare.statistics.paths import independent, way_names, ways
from rlhf.compare.statistics.settings import (
    Setting,
    copied,
    ending,
    group,
    reward_keys,
    starts,
)
from rlhf.compare.statistics.step_response import Steering, steering
from rlhf.compare.statistics.verdict import Verdict
from rlhf.metrics import FINAL_COEF
from rlhf.rundir.read import number, read_json

EXACT = (
    *("objective", "optimum", "reference", "share_of_gain", "kl", "reward"),
    *("gap", "missing_at_kl", "optimum_kl", "optimum_reward", "entropy"),
)
LATER = ("kl_to_optimum", "effective_beta")  # that runs of before do not have


@dataclass(frozen=True, kw_only=True)
class Exact:
    """The runs of an enumerable problem (callbacks=oracle) beside its exact answers."""

    table: list[dict[str, Any]]  # one row a run, by beta and seed: the lines of oracle.csv
    curves: list[dict[str, Any]]  # the runs' oracle.json: exact frontier, best of n

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of runs that count: the table marks copies, and nothing else shows them."""
        return [row for row in self.table if not row["copy_of"]]


@dataclass(frozen=True, kw_only=True)
class Study:
    """The runs of a comparison, their settings, and what follows from them."""

    directory: Path  # of the comparison, not of its runs
    runs: Sequence[Run]
    unfinished: Sequence[Run]
    settings: Sequence[Setting]  # the finished runs by what differs
    members: Sequence[tuple[Setting, Run]]  # each run that counts, with its setting
    ways: Sequence[tuple[Setting, Run]]  # the same, of each KL path its last point alone
    paths: Sequence[Sequence[Run]]  # the finished points of each KL path, in their order
    realigned: Sequence[tuple[Setting, Curve]]  # of `members`, with the settings of their runs
    rewards: Sequence[str]  # their keys
    findings: Findings | None
    differing: dict[str, dict[str, Any]]  # config key -> {run name: value}
    brought: dict[str, dict[str, Any]]  # of several algorithms: what the name of each stands for
    copies: dict[str, str]  # name of a run in no number -> name of the one of its seed that counts
    starts: Sequence[Sequence[Setting]]  # the settings by the SFT policy they began from
    searches: Sequence[Search | Crossing]
    best_of_n: Sequence[Kept]  # of SFT, by n; empty also where there are several SFT policies
    gold_fit: Fit | str  # Gao et al.'s form through gold's gains; a sentence where there is none
    exact: Exact
    steering: Sequence[tuple[Setting, Steering]]  # of `ways`
    moved: bool  # whether the coefficient of a run did not stay where it began
    matched: Sequence[Matched]  # each reward; none where no run has finished
    sick: Sequence[tuple[Sickness, list[Sickness]]]  # each kind, and the others that have it
    well: str
    fingerprints: dict[str, list[str]]
    manifests: Sequence[dict[str, Any]]

    @property
    def verdict(self) -> Verdict | None:
        """Which setting is best, and which may be; None where no finished run has a reward."""
        return self.findings.verdict if self.findings is not None else None

    @property
    def deciding(self) -> Matched | None:
        """The reward that decides, at every budget; None where there is nothing to rank."""
        return next((m for m in self.matched if self.findings and m.key == self.findings.key), None)

    @property
    def nearer(self) -> Nearer | None:
        """The setting to use instead of the best where the KL must be smaller."""
        if self.deciding is None or self.findings is None:
            return None
        names = way_names(self.settings)
        return self.deciding.nearer(
            names[self.findings.best.label], among={names[s.label] for s in ending(self.settings)}
        )


def study(directory: Path, runs: Sequence[Run]) -> Study:
    settings, rewards = group(runs), reward_keys(runs)
    members = [(s, run) for s in settings for run in s.runs]
    beginnings, copies, separate = starts(settings), copied(settings), independent(members)
    steered = [(s, steering(run)) for s, run in separate]
    alone = len(beginnings) == 1
    kept = best_of_n([run for _, run in members]) if alone else []
    start = gold_start([run for _, run in members], kept) if alone else NOTHING
    return Study(
        directory=directory,
        runs=runs,
        unfinished=[run for run in runs if not run.finished],
        settings=settings,
        members=members,
        ways=separate,
        paths=paths([run for run in runs if run.finished]),
        realigned=[(s, curve) for s, run in members for curve in realigned(run)],
        rewards=rewards,
        findings=find(settings),
        differing=differing(runs),
        brought=brought(differing([run for run in runs if run.finished])),
        copies=copies,
        starts=beginnings,
        searches=searches(runs),
        best_of_n=kept,
        gold_fit=fit([gold_gains(run, start.mean) for _, run in separate], start=start),
        exact=exact(runs, copies),
        steering=steered,
        moved=any(len({coef for _, coef in s.coef}) > 1 for _, s in steered),
        matched=[matched(ways(settings), key) for key in rewards] if settings else [],
        sick=by_kind(diagnose(settings, runs)),
        well=well(settings),
        fingerprints=fingerprints(runs),
        manifests=manifests(runs),
    )


def exact(runs: Sequence[Run], copies: Mapping[str, str]) -> Exact:
    """The exact answers that the runs have; empty where they have none.

    `copies`: name of a run that is in no number -> name of the one of its seed that counts.
    """
    known = [
        # the coefficient that the optimum was computed with is the one in force at the end
        (float(run.summary.get(FINAL_COEF, run.summary["kl.coef"])), run.config.get("seed"), run)
        for run in runs
        if "oracle/share_of_gain" in run.summary
    ]
    known.sort(key=lambda row: (row[0], row[1] or 0))
    return Exact(
        table=[
            {"beta": beta, "seed": seed}
            | {name: number(run.summary[f"oracle/{name}"]) for name in EXACT}
            | {name: number(run.summary.get(f"oracle/{name}", math.nan)) for name in LATER}
            | {"name": run.name, "copy_of": copies.get(run.name, "")}
            for beta, seed, run in known
        ],
        curves=[
            curve for _, _, run in known if (curve := read_json(run.directory / "oracle.json"))
        ],
    )

"""A run's way through training, as numbers: its evaluations and training rollouts, and best of n of
the SFT policy where it was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rlhf.compare.read.columns import value
from rlhf.compare.read.runs import Run
from rlhf.metrics import BEHIND, KL, MOVING_KL
from rlhf.rundir.read import read_json


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A policy on held-out prompts, or on those of a training rollout. Errors that are not known
    are nan."""

    iteration: float  # updates behind this policy; whole, or between two
    kl: float  # nats per response, never below 0
    reward: float
    reward_se: float
    kl_se: float = math.nan
    rollout: bool = False  # on the training prompts of one rollout


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The best of n responses of the SFT policy."""

    n: int
    kl: float  # log n - (n - 1) / n, nats per response
    rewards: dict[str, float]  # by key, the unbiased estimate
    errors: dict[str, float] = field(default_factory=dict)  # by key, its standard error


def evaluations(run: Run, key: str) -> list[Evaluation]:
    """A run's evaluations of one reward, SFT first: those where KL and reward are finite. A
    sampled KL below 0 counts as 0."""
    return _evaluations(run, key, "eval/")


def rollouts(run: Run, key: str) -> list[Evaluation]:
    """A run's training rollouts, with the same numbers: the rollout of iteration i is of the policy
    after i - 1 updates. None where their KL is to a reference that moves, and those alone that the
    policy of then drew."""
    if any(f"eval/{MOVING_KL}" in row for row in run.metrics):
        return []
    rows = zip(run.iterations, run.columns[BEHIND], strict=True)
    older = {iteration - 1 for iteration, behind in rows if behind > 0}
    return [e for e in _evaluations(run, key, "") if e.iteration not in older]


def _evaluations(run: Run, key: str, prefix: str) -> list[Evaluation]:
    columns = (run.columns[f"{prefix}{name}"] for name in (KL, key, f"{key}_se", f"{KL}_se"))
    return [
        Evaluation(
            iteration=iteration - (not prefix),
            kl=max(kl, 0.0),
            reward=reward,
            reward_se=reward_se,
            kl_se=kl_se,
            rollout=not prefix,
        )
        for iteration, kl, reward, reward_se, kl_se in zip(run.iterations, *columns, strict=True)
        if math.isfinite(kl) and math.isfinite(reward)
    ]


def final(run: Run, key: str) -> float:
    """A run's number at the end of training; a sampled KL below 0 is noise, and counts as 0."""
    end = value(run.summary, key)
    return max(end, 0.0) if key == KL else end


def final_se(run: Run, key: str) -> float:
    """The standard error of `final` by the run's own evaluation, nan where it is not known."""
    return value(run.summary, f"{key}_se")


def series(run: Run, *keys: str) -> list[tuple[int, float]]:
    """(iteration, value) of the first of `keys` that a row has, finite ones. Of an iteration whose
    rollout an older policy drew, what is evaluated too is that of the evaluation."""
    first, *others = (_own(run, key) if f"eval/{key}" in keys else run.columns[key] for key in keys)
    for column in others:
        first = [b if math.isnan(a) else a for a, b in zip(first, column, strict=True)]
    points = zip(run.iterations, first, strict=True)
    return [(iteration, v) for iteration, v in points if math.isfinite(v)]


def _own(run: Run, key: str) -> list[float]:
    """A rollout's numbers, nan where it was drawn by an older policy than the iteration's own."""
    pairs = zip(run.columns[key], run.columns[BEHIND], strict=True)
    return [math.nan if behind > 0 else x for x, behind in pairs]


def best_of_n(runs: Sequence[Run]) -> list[Kept]:
    """best_of_n.json of the first of the runs that has one, by n."""
    measured = (
        [
            Kept(
                n=row["n"],
                kl=value(row, KL),
                rewards={
                    key: value(row, key)
                    for key in row
                    if key.startswith("reward/") and not key.endswith("_se")
                },
                errors={
                    key.removesuffix("_se"): value(row, key)
                    for key in row
                    if key.startswith("reward/") and key.endswith("_se")
                },
            )
            for row in read_json(run.directory / "best_of_n.json").get("points", ())
            if isinstance(row, dict) and isinstance(row.get("n"), int)
        ]
        for run in runs
    )
    return sorted(next(filter(None, measured), []), key=lambda kept: kept.n)

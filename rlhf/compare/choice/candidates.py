"""What can be chosen: the settings of trained runs and KL paths' points, and the realigned policies
of each lambda, means over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rlhf.compare.read import Curve, Run, final, final_se, place, value
from rlhf.compare.read.realigned import OWN
from rlhf.compare.statistics import Interval, Setting, Study, ending, interval, setting_interval
from rlhf.compare.statistics.settings import FEWER, UNENDED
from rlhf.compare.text.realigned import BY, rows
from rlhf.metrics import COSTS, ENDED, KL


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One policy on a disk, of one seed. What is not known is nan."""

    run: Run  # that trained it, or that it is realigned after
    values: Mapping[str, float]  # by key: its KL and rewards
    errors: Mapping[str, float]
    cost: Mapping[str, float]  # iterations, CPU seconds and responses until it was there

    @property
    def origin(self) -> str:
        """The training that it came out of: two policies of one path, or of one run, share it."""
        there = place(self.run)
        return str(there.path if there is not None else self.run.directory.resolve())


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The policies of one setting, or of one lambda after it, one a seed. `share`: lambda, with
    `by`; None and "" of what was trained."""

    label: str
    setting: Setting
    policies: tuple[Policy, ...]
    share: float | None = None
    by: str = ""
    curve_seconds: float = math.nan  # of the curve: CPU seconds for all its lambdas

    @property
    def kind(self) -> str:
        if self.share is not None:
            return "realigned"
        return "path point" if any(place(p.run) for p in self.policies) else "run"

    def column(self, key: str) -> tuple[list[float], list[float]]:
        """The policies' numbers, and their own standard errors."""
        return (
            [p.values.get(key, math.nan) for p in self.policies],
            [p.errors.get(key, math.nan) for p in self.policies],
        )

    def mean(self, key: str) -> float:
        return self.interval(key).mean

    def interval(self, key: str) -> Interval:
        """95 %: Student's t over seeds, for prompts like these where the runs kept their numbers
        prompt by prompt; of one seed its evaluation alone. A KL is never below 0."""
        if self.share is None:
            return setting_interval(self.setting, key)
        over = interval(*self.column(key))
        return replace(over, low=max(over.low, 0.0)) if key == KL else over

    def cost(self, key: str) -> float:
        """The mean over seeds."""
        known = [c for p in self.policies if math.isfinite(c := p.cost.get(key, math.nan))]
        return fmean(known) if known else math.nan

    def best(self, key: str) -> Policy:
        """Of several seeds the policy with the most of a reward."""
        return max(self.policies, key=lambda p: _or_least(p.values.get(key, math.nan)))


def candidates(study: Study) -> list[Candidate]:
    """All whose responses end and whose KL is known, by their KL."""
    ends = {s.label for s in ending(study.settings)}
    every = [_trained(s) for s in study.settings if s.label in ends]
    for setting, curves, share in rows(study):
        if setting.label in ends and share not in OWN:
            every += _realigned(setting, curves, share)
    return sorted((c for c in every if math.isfinite(c.mean(KL))), key=lambda c: c.mean(KL))


def left_out(study: Study) -> list[str]:
    """Sentences on what cannot be chosen."""
    ends = ending(study.settings)
    endless = [s.label for s in study.settings if s not in ends]
    some = f"{', '.join(endless)}: left out, the responses never end."
    gone = [f"{r.name}: left out, it is {r.status}." for r in study.unfinished]
    return [*([some] if endless else []), *gone]


def _trained(setting: Setting) -> Candidate:
    keys = (KL, *(key for key in setting.estimates if key.startswith("reward/")))
    return Candidate(
        label=setting.label,
        setting=setting,
        policies=tuple(
            Policy(
                run=run,
                values={key: final(run, key) for key in keys},
                errors={key: final_se(run, key) for key in keys},
                cost=_cost(run),
            )
            for run in setting.runs
        ),
    )


def _realigned(setting: Setting, curves: Sequence[Curve], share: float) -> list[Candidate]:
    """None where most of the runs' responses never end at this lambda."""
    pairs = [(curve, stop) for curve in curves for stop in curve.stops if stop.share == share]
    endless = [
        (ended := value(stop.values, ENDED)) < 1 - UNENDED
        and ended < FEWER * value(curve.stops[0].values, ENDED)
        for curve, stop in pairs
    ]
    if 2 * sum(endless) > len(pairs):
        return []
    spent = [curve.cpu_seconds for curve, _ in pairs if math.isfinite(curve.cpu_seconds)]
    by = curves[0].by
    return [
        Candidate(
            label=f"{setting.label}, λ {share:g} {BY.get(by, by)}",
            setting=setting,
            policies=tuple(
                Policy(run=curve.run, values=stop.values, errors=stop.errors, cost=_cost(curve.run))
                for curve, stop in pairs
            ),
            share=share,
            by=by,
            curve_seconds=fmean(spent) if spent else math.nan,
        )
    ]


def _cost(run: Run) -> dict[str, float]:
    return {key: value(run.summary, key) for key in COSTS}


def _or_least(number: float) -> float:
    return number if math.isfinite(number) else -math.inf

"""The data of a frontier, reward against KL: computed once, drawn as frontier.png and in
report.html."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlhf.compare.figures.style import COEF, OTHER, Styles, families, styles_of
from rlhf.compare.read import Curve, Run, evaluations, final, final_se
from rlhf.compare.statistics import Estimate, Interval, Setting, Study, setting_interval
from rlhf.compare.statistics.paths import on_path
from rlhf.metrics import GOLD, KL, METRICS, maximised

Point = tuple[float, float]  # KL in nats per response, reward


@dataclass(frozen=True, kw_only=True)
class Way:
    """A run: its evaluations, and where it ended (None if not at finite numbers)."""

    name: str
    path: list[Point]  # none of a KL path's earlier point: the last has them
    end: Point | None
    errors: Point  # standard errors of the end, 0 where not known


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A setting: its runs, the mean of their ends with its 95 % intervals."""

    label: str
    short: str
    color: str
    marker: str
    runs: list[Way]
    x: Estimate
    y: Estimate
    x_interval: Interval
    y_interval: Interval

    @property
    def mean(self) -> Point:
        return self.x.mean, self.y.mean

    @property
    def several(self) -> bool:
        return len(self.runs) > 1

    @property
    def drawn(self) -> bool:
        """Whether the mean is at finite numbers."""
        return math.isfinite(self.x.mean) and math.isfinite(self.y.mean)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A KL path through its points, or a realigned policy through its lambdas, in their order."""

    setting: str  # whose colour it has; of a path that of none
    by: str  # path; decoding or weights
    key: str  # of what it says
    stops: list[tuple[float, Point]]  # the point's number or lambda, where it is
    first: bool  # of the setting's: its stops are named

    def key_of(self, stop: float) -> str:
        return f"{self.key} {stop:g}"


@dataclass(frozen=True, kw_only=True)
class FrontierData:
    """Everything that is drawn of one reward against KL."""

    key: str
    title: str
    marks: list[Mark]  # one a setting, also those that cannot be drawn
    lines: list[list[Point]]  # means of settings that differ in the coefficient only
    sft: float | None  # None also where settings began from several SFT policies
    first: Mark | None  # the best setting, whichever reward decides
    best: Mark | None  # the same, where this reward decides
    # gold only, where it is clearly lower at the highest proxy: the best, and that setting
    lost: tuple[Point, Point] | None
    paths: list[Line]
    realigned: list[Line]
    best_of_n: list[Point]  # of SFT
    ns: list[int]  # the n of each of them

    @property
    def name(self) -> str:
        """gold reward"""
        return f"{self.key.removeprefix('reward/')} reward"

    @property
    def drawn(self) -> list[Mark]:
        return [mark for mark in self.marks if mark.drawn]


def frontiers(study: Study) -> list[FrontierData]:
    """The frontier of each reward that has a point to draw."""
    styles = styles_of(study.settings)
    every = (_frontier(study, key, styles) for key in study.rewards)
    return [data for data in every if data.drawn]


def _title(study: Study, key: str) -> str:
    if key in METRICS:
        return METRICS[key].title
    name = key.removeprefix("reward/")
    if any(key in maximised(run.config) for s in study.settings for run in s.runs):
        return f"Reward {name}: maximised"
    return f"Judge {name}: not seen in training"


def _frontier(study: Study, key: str, styles: Styles) -> FrontierData:
    findings = study.findings
    own_way = {run.directory for _, run in study.ways}
    marks = {s.label: _mark(s, key, styles, own_way) for s in study.settings}
    first = marks[findings.best.label] if findings is not None else None
    deciding = findings is not None and findings.key == key and findings.praised is not None
    gamed = findings.gamed if findings is not None and findings.clear else None
    last = marks[gamed.label] if gamed is not None else None
    levels = (s.sft[key].mean for s in study.settings if key in s.sft)
    return FrontierData(
        key=key,
        title=_title(study, key),
        marks=list(marks.values()),
        lines=_lines(study.settings, marks),
        paths=[line for way in study.paths if len((line := _path(way, key)).stops) > 1],
        realigned=_realigned(study, key),
        sft=next(filter(math.isfinite, levels), None) if len(study.starts) == 1 else None,
        first=first,
        best=first if first and first.drawn and deciding else None,
        lost=(first.mean, last.mean) if key == GOLD and first and last and last.drawn else None,
        best_of_n=[(p.kl, p.rewards[key]) for p in study.best_of_n if key in p.rewards],
        ns=[p.n for p in study.best_of_n if key in p.rewards],
    )


def _mark(setting: Setting, key: str, styles: Styles, own_way: Container[Path]) -> Mark:
    color, marker = styles[setting.label]
    return Mark(
        label=setting.label,
        short=setting.short,
        color=color,
        marker=marker,
        runs=[_way(run, key, run.directory in own_way) for run in setting.runs],
        x=setting[KL],
        y=setting[key],
        x_interval=setting_interval(setting, KL),
        y_interval=setting_interval(setting, key),
    )


def _way(run: Run, key: str, own_way: bool) -> Way:
    x, y = final(run, KL), final(run, key)
    x_se, y_se = (se if math.isfinite(se := final_se(run, k)) else 0.0 for k in (KL, key))
    return Way(
        name=run.name,
        path=[(e.kl, e.reward) for e in evaluations(run, key)] if own_way else [],
        end=(x, y) if math.isfinite(x) and math.isfinite(y) else None,
        errors=(x_se, y_se),
    )


def path_key(way: Sequence[Run]) -> str:
    """The key of what the line of a KL path says."""
    return f"path {way[-1].directory}"


def realigned_key(curve: Curve) -> str:
    return f"{curve.by} {curve.run.directory}"


def _path(way: Sequence[Run], key: str) -> Line:
    ends = [(float(i), (final(run, KL), final(run, key))) for i, run in enumerate(way)]
    return Line(setting=OTHER, by="path", key=path_key(way), stops=_known(ends), first=False)


def _realigned(study: Study, key: str) -> list[Line]:
    lines, named = [], set[tuple[str, str]]()
    for s, curve in study.realigned:
        stops = [(c.share, (c.values[KL], c.values.get(key, math.nan))) for c in curve.stops]
        kept, which = _known(stops), (s.label, curve.by)
        if len(kept) > 1:
            first, own = which not in named, realigned_key(curve)
            lines.append(Line(setting=s.label, by=curve.by, key=own, stops=kept, first=first))
            named.add(which)
    return lines


def _known(stops: Sequence[tuple[float, Point]]) -> list[tuple[float, Point]]:
    return [(name, at) for name, at in stops if all(map(math.isfinite, at))]


def _lines(settings: Sequence[Setting], marks: dict[str, Mark]) -> list[list[Point]]:
    """Through the means of settings that differ in the coefficient only; KL paths have lines of
    their own."""
    drawn = [s for s in settings if marks[s.label].drawn and COEF in s.values]
    shown = [s for s in drawn if not on_path(s)]
    kin = [family for family in families(shown) if len(family) > 1]
    return [sorted(marks[s.label].mean for s in family) for family in kin]

"""The figures of report.html as finished charts: title, note, what they show in words, and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.compare import charts, oracle, panels
from rlhf.compare.best_of_n import Curve, curve
from rlhf.compare.charts import Styles
from rlhf.compare.findings import GOLD, PROXY, Findings, show
from rlhf.compare.frontier import drawable, drawn
from rlhf.compare.load import Run
from rlhf.compare.marks import Mark, spoken
from rlhf.compare.overoptimisation import FORMULAS, Fit, fit
from rlhf.compare.paths import KL, series
from rlhf.compare.settings import Setting
from rlhf.compare.svg import inline
from rlhf.tracking.spool import read_json

EXACT = (5.4, 4.4)  # inches

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Look:
    styles: Styles
    colours: Mapping[str, str]  # hex -> CSS variable


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    note: str
    svg: str


def frontier_charts(
    settings: Sequence[Setting], rewards: Sequence[str], found: Findings | None, look: Look, told: Mapping[str, Mark]
) -> list[tuple[Chart, Chart]]:
    """For each reward: against KL, and against its square root."""
    names = {key: spoken(mark) for key, mark in told.items()}
    pairs = []
    for key in drawable(settings, rewards):
        title = {PROXY: "Proxy: the reward that PPO maximises", GOLD: "Gold: the reward that we want"}.get(
            key, f"Judge {key.removeprefix('reward/')}: not seen by PPO"
        )
        alt = f"{title}, against KL. " + "; ".join(f"{s.label}: {show(s[key])} at {show(s[KL])} nats" for s in settings if drawn(s, key))
        bon = _bon(curve([run for s in settings for run in s.runs]), key)
        both = [
            Chart(
                title=title,
                note="Dashed: best of n of SFT." if bon else "",
                svg=inline(
                    charts.frontier(settings, key, look.styles, found, rooted=rooted, bon=bon),
                    name=f"frontier-{key}-{rooted}",
                    alt=alt,
                    marks=names,
                    colours=look.colours,
                ),
            )
            for rooted in (False, True)
        ]
        pairs.append((both[0], both[1]))
    return pairs


def _bon(measured: Curve | None, key: str) -> list[tuple[int, float, float]]:
    return [(p.n, p.kl, p.rewards[key]) for p in measured.points if key in p.rewards] if measured is not None else []


@dataclass(frozen=True, kw_only=True)
class Over:
    """`why` says what is missing where there is no chart or no fit."""

    gap: Chart | None
    fits: list[tuple[str, Fit]]  # name of the curve
    chart: Chart | None
    why: str

    @property
    def head(self) -> list[str]:
        return ["curve", "form", "α", "β", "peak (nats)", "points", "R²"]

    @property
    def lines(self) -> list[list[str]]:
        return [[name, FORMULAS[f.form], *_parameters(f), _peak(f), str(f.points), f"{f.r2:.2f}"] for name, f in self.fits]

    @property
    def note(self) -> str:
        how = (
            "a bootstrap over whole runs"
            if all(f.over_runs for _, f in self.fits)
            else "from the residuals, as if the points along a run were independent, which they are not: the truth is less sure"
        )
        return f"In brackets: 95 % intervals, {how}. Gao et al., arXiv 2210.10760; log is the natural one."


def _parameters(found: Fit) -> list[str]:
    pairs = ((found.alpha, found.alpha_interval), (found.beta, found.beta_interval))
    return [f"{value:.3g} ({low:.3g} to {high:.3g})" for value, (low, high) in pairs]


def _peak(found: Fit) -> str:
    if not found.peak_kl <= 1e6:
        return "none"
    return f"{found.peak_kl:.3g}" + (" (beyond the data)" if found.peak_kl > found.furthest else "")


def over_charts(settings: Sequence[Setting], look: Look) -> Over:
    runs = [(s.label, run) for s in settings for run in s.runs]
    points = [(label, gains) for label, run in runs if (gains := charts.gold_gains(run))]
    if not points:
        return Over(
            gap=None, fits=[], chart=None, why="There is no gold reward along training, so what proxy gains cannot be held against it."
        )
    gap = None
    if any(len(charts.gap_path(run)) > 1 for _, run in runs):
        note = "Gain in proxy less gain in gold over SFT, each in its own units. A flat line: the two rise together. A rising one: gaming."
        gap = _chart(charts.gap_along_kl(settings, look.styles), "What proxy promises and gold does not keep", "gap", look, note)
    fitted = fit([gains for _, gains in points])
    fits = [("PPO, all runs", fitted)] if isinstance(fitted, Fit) else []
    measured = curve([run for _, run in runs])
    if measured is not None and GOLD in measured.points[0].rewards:
        base = measured.points[0].rewards[GOLD]
        other = fit([[(p.kl, p.rewards[GOLD] - base) for p in measured.points]], "best_of_n")
        fits += [("best of n of SFT", other)] if isinstance(other, Fit) else []
    chart = None
    if isinstance(fitted, Fit):
        note = f"All evaluations of all runs, and R(d) = {FORMULAS['rl']} with d = √KL through them."
        chart = _chart(charts.fitted(points, fitted, look.styles), "Gold along KL, and the form of Gao et al.", "fit", look, note)
    why = "" if isinstance(fitted, Fit) else f"Gao et al.'s form is not fitted: {fitted}"
    return Over(gap=gap, fits=fits, chart=chart, why=why)


def exact_chart(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> Chart | None:
    curves = [found for run in runs if (found := read_json(run.directory / "oracle.json"))]
    if not rows or not curves:
        return None
    alt = "Exact reward against exact KL. " + "; ".join(f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in rows)
    svg = inline(oracle.figure(rows, curves, EXACT), name="exact", alt=alt)
    return Chart(title="Beside the exact frontier", note="Every response is listed, so nothing here is sampled.", svg=svg)


def iteration_charts(settings: Sequence[Setting], look: Look) -> list[Chart]:
    pairs = [
        ("Coefficient", panels.coefficient(settings, look.styles), "A line a run."),
        ("KL of the rollouts", panels.kl_over_iterations(settings, look.styles), "A line a run. Dashed: the controllers' targets."),
    ]
    return [_chart(figure, title, f"iterations-{title}", look, note) for title, figure, note in pairs if figure is not None]


def health_charts(settings: Sequence[Setting], look: Look) -> list[Chart]:
    found = []
    for what in panels.VITALS:
        figure = panels.vital(settings, what, look.styles)
        if figure is not None:
            ends = [
                f"{s.label} ends at {what.transform(points[-1][1]):.3g}"
                for s in settings
                if (points := next((p for run in s.runs if (p := series(run, *what.keys))), []))
            ]
            found.append(_chart(figure, what.title, f"health-{what.title}", look, "", f"{what.title} by iteration. {'; '.join(ends)}."))
    return found


def _chart(figure: Figure, title: str, name: str, look: Look, note: str, alt: str = "") -> Chart:
    return Chart(title=title, note=note, svg=inline(figure, name=name, alt=alt or f"{title}. {note}", colours=look.colours))

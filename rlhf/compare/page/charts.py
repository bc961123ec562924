"""The figures of report.html as finished charts: title, note, what they show in words, and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import iterations as panels, page_charts as charts
from rlhf.compare.figures.frontier import drawable, drawn, titled
from rlhf.compare.figures.page_charts import Styles
from rlhf.compare.figures.svg import LINE, MARK, inline
from rlhf.compare.page.tooltips import Mark, spoken
from rlhf.compare.read.best_of_n import Curve, curve
from rlhf.compare.read.curves import KL, series
from rlhf.compare.read.provenance import starts
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics import exact as oracle
from rlhf.compare.statistics.findings import GOLD, Findings, show
from rlhf.compare.statistics.overoptimisation import FORMULAS, Fit, fit
from rlhf.compare.statistics.settings import Setting
from rlhf.rundir.read import read_json

EXACT = (5.4, 4.4)  # inches
LOOSE = 0.5  # R² below which a fit is worth a warning

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Look:
    styles: Styles
    colours: Mapping[str, str]  # hex -> CSS variable
    told: Mapping[str, Mark]

    @cached_property
    def names(self) -> dict[str, str]:
        """What each mark, and each line of a run, is called: by gid."""
        return {f"{MARK}{key}": spoken(mark) for key, mark in self.told.items()} | {
            f"{LINE}{k}": m["title"] for k, m in self.told.items()
        }


@dataclass(frozen=True, kw_only=True)
class Chart:
    title: str
    note: str
    svg: str


def frontier_charts(
    settings: Sequence[Setting], rewards: Sequence[str], found: Findings | None, look: Look
) -> list[tuple[Chart, Chart]]:
    """For each reward: against KL, and against its square root."""
    pairs = []
    for key in drawable(settings, rewards):
        title = titled(key)
        alt = f"{title}, against KL. " + "; ".join(
            f"{s.label}: {show(s[key])} at {show(s[KL])} nats" for s in settings if drawn(s, key)
        )
        bon = _bon(_best_of_n(settings), key)
        note = "Dashed: best of n of SFT." if bon else ""
        both = []
        for rooted in (False, True):
            figure = charts.frontier(settings, key, look.styles, found, rooted=rooted, bon=bon)
            both.append(chart_of(figure, title, f"frontier-{key}-{rooted}", look, note, alt))
        pairs.append((both[0], both[1]))
    return pairs


def _best_of_n(settings: Sequence[Setting]) -> Curve | None:
    """None also where there are several SFT policies: it is of one of them."""
    return curve([run for s in settings for run in s.runs]) if len(starts(settings)) == 1 else None


def _bon(measured: Curve | None, key: str) -> list[tuple[int, float, float]]:
    return (
        [(p.n, p.kl, p.rewards[key]) for p in measured.points if key in p.rewards]
        if measured is not None
        else []
    )


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
        return [
            [name, FORMULAS[f.form], *_parameters(f), _peak(f), str(f.points), f"{f.r2:.2f}"]
            for name, f in self.fits
        ]

    @property
    def note(self) -> str:
        hows = {
            True: "a bootstrap over whole runs",
            False: "from the residuals as if the points were independent, and so too narrow",
        }
        kinds = {
            over_runs: [name for name, f in self.fits if f.over_runs is over_runs]
            for over_runs in hows
        }
        how = "; ".join(
            f"of {' and '.join(names)} {hows[kind]}" for kind, names in kinds.items() if names
        )
        said = (
            f"In brackets: 95 % intervals, {how}. Gao et al., arXiv 2210.10760; log is the natural"
            " one."
        )
        loose = any(f.r2 < LOOSE for _, f in self.fits)
        return said + (
            " Where R² is low no one curve holds for these runs, and its peak is no more than a"
            " hint."
            if loose
            else ""
        )


def _parameters(found: Fit) -> list[str]:
    pairs = ((found.alpha, found.alpha_interval), (found.beta, found.beta_interval))
    return [f"{value:.3g} ({low:.3g} to {high:.3g})" for value, (low, high) in pairs]


def _peak(found: Fit) -> str:
    if not found.peak_kl <= 1e6:
        return "none"
    return f"{found.peak_kl:.3g}" + (" (beyond the data)" if found.peak_kl > found.furthest else "")


def over_charts(settings: Sequence[Setting], look: Look) -> Over:
    runs = [(s, run) for s in settings for run in s.runs]
    points = [(s, run) for s, run in runs if charts.gold_gains(run)]
    if not points:
        return Over(
            gap=None,
            fits=[],
            chart=None,
            why=(
                "There is no gold reward along training, so what proxy gains cannot be held"
                " against it."
            ),
        )
    gap = None
    if any(len(charts.gap_path(run)) > 1 for _, run in runs):
        note = (
            "Gain in proxy less gain in gold over SFT, each in its own units. A flat line: the two"
            " rise together. A rising one: gaming."
        )
        gap = chart_of(
            charts.gap_along_kl(settings, look.styles),
            "What proxy promises and gold does not keep",
            "gap",
            look,
            note,
        )
    fitted = fit([charts.gold_gains(run) for _, run in points])
    fits = [("all PPO runs", fitted)] if isinstance(fitted, Fit) else []
    measured = _best_of_n(settings)
    if measured is not None and GOLD in measured.points[0].rewards:
        base = measured.points[0].rewards[GOLD]
        other = fit([[(p.kl, p.rewards[GOLD] - base) for p in measured.points]], "best_of_n")
        fits += [("best of n of SFT", other)] if isinstance(other, Fit) else []
    chart = None
    if isinstance(fitted, Fit):
        note = (
            f"All evaluations of all runs, and R(d) = {FORMULAS['rl']} with d = √KL through them."
        )
        chart = chart_of(
            charts.fitted(points, fitted, look.styles),
            "Gold along KL, and the form of Gao et al.",
            "fit",
            look,
            note,
        )
    why = "" if isinstance(fitted, Fit) else f"Gao et al.'s form is not fitted: {fitted}"
    return Over(gap=gap, fits=fits, chart=chart, why=why)


def exact_chart(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> Chart | None:
    curves = [found for run in runs if (found := read_json(run.directory / "oracle.json"))]
    if not rows or not curves:
        return None
    alt = "Exact reward against exact KL. " + "; ".join(
        f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in rows
    )
    svg = inline(oracle.figure(rows, curves, EXACT), name="exact", alt=alt)
    return Chart(
        title="Beside the exact frontier",
        note="Every response is listed, so nothing here is sampled.",
        svg=svg,
    )


def iteration_charts(settings: Sequence[Setting], look: Look) -> list[Chart]:
    way = "A line a run: point at one, or go there with Tab and the arrow keys, to read which."
    pairs = [
        ("Coefficient", panels.coefficient(settings, look.styles), way),
        (
            "KL of the rollouts",
            panels.kl_over_iterations(settings, look.styles),
            "A line a run. Dashed: the controllers' targets.",
        ),
    ]
    return [
        chart_of(figure, title, f"iterations-{title}", look, note)
        for title, figure, note in pairs
        if figure is not None
    ]


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
            found.append(
                chart_of(
                    figure,
                    what.title,
                    f"health-{what.title}",
                    look,
                    "",
                    f"{what.title} by iteration. {'; '.join(ends)}.",
                )
            )
    return found


def chart_of(figure: Figure, title: str, name: str, look: Look, note: str, alt: str = "") -> Chart:
    svg = inline(
        figure, name=name, alt=alt or f"{title}. {note}", marks=look.names, colours=look.colours
    )
    return Chart(title=title, note=note, svg=svg)

"""Sections about reward along KL: the frontier with the settings at the end of training, and the
fall of gold behind proxy with the forms of Gao et al."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.compare.figures import page_charts
from rlhf.compare.figures.frontier import exact_figure
from rlhf.compare.figures.frontier_data import FrontierData
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.statistics import FORMULAS, Fit, fit, gap_path, gold_gains, show
from rlhf.compare.statistics.along_kl.overoptimisation import LOOSE, MIN_RUNS
from rlhf.compare.text import settings as texts
from rlhf.metrics import GOLD

EXACT = (5.4, 4.4)  # inches
HEAD = ["curve", "form", "α", "β", "peak (nats)", "points", "R²"]
NO_GOLD = "There is no gold reward along training, so what proxy gains cannot be held against it."
Fits = list[tuple[str, Fit]]  # name of the curve


def frontier(view: View) -> Section:
    settings, exact = view.study.settings, view.study.exact
    beside = "; ".join(
        f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in exact.rows
    )
    return Section(
        key="frontier",
        title="Frontier: reward against KL",
        short="Frontier",
        markdown=texts.markdown(view.study),
        values={
            "charts": [_pair(view, data) for data in view.frontiers],
            "exact": view.chart(
                exact_figure(exact, EXACT) if exact.rows and exact.curves else None,
                "Beside the exact frontier",
                "exact",
                "Every response is listed, so nothing here is sampled.",
                f"Exact reward against exact KL. {beside}",
            ),
            "seeded": any(len(s.runs) > 1 for s in settings),
            "starred": len(view.study.starts) == 1,
            "settings": texts.table(view.study),
            "reading": texts.reading(settings) if settings else "",
        },
    )


def _pair(view: View, data: FrontierData) -> list[Chart]:
    """Against KL, and against its square root."""
    alt = f"{data.title}, against KL. " + "; ".join(
        f"{mark.label}: {show(mark.y)} at {show(mark.x)} nats" for mark in data.drawn
    )
    note = "Dashed: best of n of SFT." if data.best_of_n else ""
    return [
        chart
        for rooted in (False, True)
        for chart in view.chart(
            page_charts.frontier(data, rooted=rooted),
            data.title,
            f"frontier-{data.key}-{rooted}",
            note,
            alt,
        )
    ]


def over(view: View) -> Section:
    points = [(s, run) for s, run in view.study.members if gold_gains(run)]
    fitted = view.study.gold_fit
    why = "" if isinstance(fitted, Fit) else f"Gao et al.'s form is not fitted: {fitted}"
    fits, charts = (_best_of_n(view), _gap(view)) if points else ([], [])
    if isinstance(fitted, Fit):
        fits = [("all PPO runs", fitted), *fits]
        charts += view.chart(
            page_charts.fitted(points, fitted, view.styles),
            "Gold along KL, and the form of Gao et al.",
            "fit",
            f"All evaluations of all runs, and R(d) = {FORMULAS['rl']} with d = √KL through them.",
        )
    return Section(
        key="over",
        title="Over-optimisation",
        short="Over-optimisation",
        values={
            "charts": charts,
            "head": HEAD,
            "lines": [_line(name, f) for name, f in fits],
            "note": note_on(fits),
            "why": why if points else NO_GOLD,
        },
    )


def _gap(view: View) -> list[Chart]:
    some = any(len(gap_path(run)) > 1 for _, run in view.study.members)
    return view.chart(
        page_charts.gap_along_kl(view.study.members, view.styles) if some else None,
        "What proxy promises and gold does not keep",
        "gap",
        "Gain in proxy less gain in gold over SFT, each in its own units. A flat line: the two"
        " rise together. A rising one: gaming.",
    )


def _best_of_n(view: View) -> Fits:
    measured = view.study.best_of_n
    if not measured or GOLD not in measured[0].rewards:
        return []
    base = measured[0].rewards[GOLD]
    fitted = fit([[(p.kl, p.rewards[GOLD] - base) for p in measured]], "best_of_n")
    return [("best of n of SFT", fitted)] if isinstance(fitted, Fit) else []


def _line(name: str, f: Fit) -> list[str]:
    parameters = (
        f"{value:.3g}" + (f" ({bounds[0]:.3g} to {bounds[1]:.3g})" if bounds else "")
        for value, bounds in ((f.alpha, f.alpha_interval), (f.beta, f.beta_interval))
    )
    peak = "not told"
    if f.peak is not None and f.peak_interval is not None:
        low, high = f.peak_interval
        peak = f"{f.peak:.3g} ({low:.3g} to {high:.3g})"
    return [name, FORMULAS[f.form], *parameters, peak, str(f.points), f"{f.r2:.2f}"]


def note_on(fits: Sequence[tuple[str, Fit]]) -> str:
    """Says where the intervals come from."""
    with_intervals = [name for name, f in fits if f.alpha_interval is not None]
    without = [
        f"of {name} none ({f.runs} run{'s' if f.runs != 1 else ''}, and {MIN_RUNS} are needed)"
        if f.form == "rl"
        else f"of {name} none (its points share their responses)"
        for name, f in fits
        if f.alpha_interval is None
    ]
    over = [f"of {' and '.join(with_intervals)} over whole runs"] if with_intervals else []
    loose = (
        " Where R² is low no one curve holds for these runs."
        if any(f.r2 < LOOSE for _, f in fits)
        else ""
    )
    return (
        f"95 % intervals in brackets: {'; '.join(over + without)}. A peak is told where it lies"
        f" among the data, R² is at least {LOOSE:g} and β is above 0 beyond chance. Gao et al.,"
        f" arXiv 2210.10760; log is the natural one.{loose}"
    )

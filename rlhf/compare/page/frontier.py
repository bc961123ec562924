"""Sections about reward along KL: the frontier with the settings at the end of training, and the
fall of gold behind proxy with the forms of Gao et al."""

from __future__ import annotations

from collections.abc import Sequence

from rlhf.compare.figures import frontier as charts, over as over_charts
from rlhf.compare.figures.frontier_data import FrontierData, Line
from rlhf.compare.page.section import Chart, Section, View
from rlhf.compare.statistics import FORMULAS, Fit, brief, fit, gold_gains
from rlhf.compare.statistics.along_kl.overoptimisation import LOOSE, MIN_RUNS
from rlhf.compare.text import costs, realigned as mixed, settings as texts
from rlhf.metrics import GOLD
from rlhf.rundir.words import plural

HEAD = ["curve", "form", "α", "β", "peak (nats)", "points", "R²"]
NO_GOLD = "Gold reward was not measured during training, so over-optimisation cannot be seen."
Fits = list[tuple[str, Fit]]  # name of the curve


def deciding(view: View) -> list[Chart]:
    """The frontier of the reward that decides; none where nothing can be drawn."""
    return [chart for data in _ordered(view)[:1] for chart in _chart(view, data)]


def frontier(view: View) -> Section:
    settings, exact = view.study.settings, view.study.exact
    beside = "; ".join(
        f"beta {r['beta']:g}: {r['share_of_gain']:.1%} of the gain" for r in exact.rows
    )
    labels = {run.name: s.label for s, run in view.study.members}
    return Section(
        key="frontier",
        title="Settings at the end of training",
        short="Settings",
        markdown=texts.markdown(view.study),
        folded=False,
        values={
            "charts": [chart for data in _ordered(view)[1:] for chart in _chart(view, data)],
            "exact": view.chart(
                "exact",
                "Beside the exact optimum",
                lambda alt: (
                    over_charts.exact(exact, labels, view.look, alt)
                    if exact.rows and exact.curves
                    else None
                ),
                "Every response to the training prompts is listed, so nothing here is sampled."
                " Dashed: best of n of the reference.",
                f"Exact reward against exact KL. {beside}",
            ),
            "settings": texts.table(view.study),
            "reading": texts.reading(settings) + costs.reading(view.study) if settings else "",
        },
    )


def realigned(view: View) -> Section:
    """The policies that trained ones are when they are mixed with their start."""
    study = view.study
    head, lines = mixed.table(study)
    values = {"head": head, "lines": lines, "note": mixed.READING}
    return Section(
        key="realigned",
        title="Realigned",
        short="Realigned",
        markdown=mixed.markdown(study),
        values=values if study.realigned else None,
    )


def _ordered(view: View) -> list[FrontierData]:
    """The reward that decides first."""
    findings = view.study.findings
    return sorted(view.frontiers, key=lambda data: findings is None or data.key != findings.key)


def _chart(view: View, data: FrontierData) -> list[Chart]:
    alt = f"{data.title}, against KL. " + "; ".join(
        f"{mark.label}: {brief(mark.y_interval)} at {brief(mark.x_interval)} nats"
        for mark in data.drawn
    )
    for by, lines in (("KL path", data.paths), ("realigned policy", data.realigned)):
        alt += f". {plural(len(lines), by)}: {_reach(lines)}" if lines else ""
    best_of_n = "Dashed: best of n of SFT." if data.best_of_n else ""
    return view.chart(
        f"frontier-{data.key}",
        data.title,
        lambda text: charts.frontier(data, view.look, view.tooltips, text),
        " ".join(filter(None, (charts.legend([data]), best_of_n))),
        alt,
    )


def _reach(lines: Sequence[Line]) -> str:
    """From 1 to 20 nats, 9 marks; ..."""
    ends = [sorted(kl for _, (kl, _) in line.stops) for line in lines]
    return "; ".join(f"{kls[0]:.3g} to {kls[-1]:.3g} nats, {len(kls)} marks" for kls in ends)


def over(view: View) -> Section:
    points = [(s, run) for s, run in view.study.ways if gold_gains(run)]
    fitted = view.study.gold_fit
    why = "" if isinstance(fitted, Fit) else f"Gao et al.'s form is not fitted: {fitted}"
    fits, drawn = (_best_of_n(view), _gap(view)) if points else ([], [])
    if isinstance(fitted, Fit):
        fits = [("all runs", fitted), *fits]
        form = fitted
        drawn += view.chart(
            "fit",
            "Gold gain along training, with Gao et al.'s form",
            lambda alt: over_charts.fitted(points, form, view.look, alt),
            f"Line: R(d) = {FORMULAS['rl']}, d = √KL, one curve for all runs of all settings."
            + " Its peak need not be the KL of the best setting." * (form.peak is not None),
        )
    return Section(
        key="over",
        title="Over-optimisation",
        short="Over-optimisation",
        values={
            "charts": drawn,
            "head": HEAD,
            "lines": [_line(name, f) for name, f in fits],
            "note": note_on(fits),
            "why": why if points else NO_GOLD,
        },
    )


def _gap(view: View) -> list[Chart]:
    return view.chart(
        "gap",
        "Proxy gain minus gold gain",
        lambda alt: over_charts.gap_along_kl(view.study.ways, view.look, alt),
        "Both over SFT, each in its own units. A flat line: proxy and gold rise together. A rising"
        " line: proxy rises without gold, the policy games the reward model.",
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
    peak = "none found"
    if f.peak is not None and f.peak_interval is not None:
        low, high = f.peak_interval
        peak = f"{f.peak:.3g} ({low:.3g} to {high:.3g})"
    return [name, FORMULAS[f.form], *parameters, peak, str(f.points), f"{f.r2:.2f}"]


def note_on(fits: Sequence[tuple[str, Fit]]) -> str:
    """Says where the intervals come from."""
    with_intervals = [name for name, f in fits if f.alpha_interval is not None]
    without = [
        f"{name} has none ({plural(f.runs, 'run')}; {MIN_RUNS} are needed)"
        if f.form == "rl"
        else f"{name} has none (its points share their responses)"
        for name, f in fits
        if f.alpha_interval is None
    ]
    over = [f"{' and '.join(with_intervals)}: over whole runs"] if with_intervals else []
    loose = (
        " A low R² means that no single curve describes these runs."
        if any(f.r2 < LOOSE for _, f in fits)
        else ""
    )
    return (
        f"In brackets: 95 % confidence intervals ({'; '.join(over + without)}). A peak is given"
        f" only within the data, with R² of at least {LOOSE:g} and β clearly above 0. Gao et al.,"
        f" arXiv 2210.10760; log is natural.{loose}"
    )

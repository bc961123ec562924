"""Over-optimisation: proxy against gold along training, the fitted forms of Gao et al., and the
runs of an enumerable problem beside its exact frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures import scales, vega
from rlhf.compare.figures.look import Look
from rlhf.compare.figures.style import OTHER
from rlhf.compare.figures.vega import Spec, points, run_lines, tips
from rlhf.compare.read import Run
from rlhf.compare.statistics import Exact, Fit, Setting, gap_path, gold_gains, label_of

if TYPE_CHECKING:
    import altair as alt

Members = Sequence[tuple[Setting, Run]]


def gap_along_kl(members: Members, look: Look, alt_text: str) -> Spec | None:
    """Gain in proxy less gain in gold over SFT along each run's training; None where no run has
    both."""
    runs = [
        (s.label, label_of(s, run), path) for s, run in members if len(path := gap_path(run)) > 1
    ]
    if not runs:
        return None
    scale, low, high = _frame([path for _, _, path in runs])
    x, y = scale.x(), scales.y("proxy gain − gold gain", low, high)
    layers = [_zero(look, y), *run_lines(runs, look, x, y), _ends(runs, look, x, y)]
    return vega.spec(layers, look, alt_text)


def fitted(members: Members, fit: Fit, look: Look, alt_text: str) -> Spec:
    """Gold's gain over SFT against KL at each evaluation, and the fitted form through it."""
    runs = [(s.label, label_of(s, run), gold_gains(run, fit.start.mean)) for s, run in members]
    scale, low, high = _frame([path for _, _, path in runs])
    x, y = scale.x(), scales.y("gold gain over SFT", low, high)
    rows = [
        {
            "setting": setting,
            "x": kl,
            "y": gain,
            **vega.tip_of(
                {"title": title, "lines": [["KL, nats", f"{kl:.2f}"], ["gold gain", f"{gain:.2f}"]]}
            ),
        }
        for setting, title, path in runs
        for kl, gain in vega.thin(path, max(vega.MOST_POINTS // 2 // len(runs), 2))
    ]
    small = points(rows).mark_point(filled=True, size=36, clip=True)
    channels = {**look.encode(), "opacity": look.opacity(0.85)}
    way = [fit.furthest * (i / 80) ** 2 for i in range(81)]
    line = points(
        {"x": kl, "y": fit.gain(kl), "tip": {"title": "Fitted form"}} for kl in way
    ).mark_line(color=look.ink, strokeWidth=2, clip=True)
    layers = [
        _zero(look, y),
        *_peak(fit, look, x),
        line.encode(x=x, y=y, tooltip="tip:N"),
        small.encode(x=x, y=y, **channels, **tips()),
    ]
    return vega.spec(layers, look, alt_text)


def _peak(fit: Fit, look: Look, x: Any) -> list[alt.Chart]:
    """The fit's peak, where the runs tell of one."""
    import altair as alt

    if fit.peak is None:
        return []
    text = f"peak of the pooled fit: {fit.peak:.2g} nats"
    rows = points([{"x": fit.peak, "text": text, **vega.tip_of({"title": text, "lines": []})}])
    rule = rows.mark_rule(color=look.muted, strokeDash=[2, 3])
    word = rows.mark_text(
        align="left", baseline="bottom", dx=5, dy=-4, fontSize=11, color=look.ink, aria=False
    )
    bottom: Any = alt.value("height")
    return [rule.encode(x=x, **tips()), word.encode(x=x, y=bottom, text="text:N")]


def exact(exact: Exact, labels: Mapping[str, str], look: Look, alt_text: str) -> Spec:
    """The best reward at every KL, our runs, and best of n of the reference. Each distinct
    reference has a frontier of its own. `labels`: a run's name -> its setting."""
    distinct = {tuple(point["kl"] for point in curve["frontier"]): curve for curve in exact.curves}
    kls = [p["kl"] for curve in distinct.values() for p in curve["frontier"]]
    rewards = [p["reward"] for curve in distinct.values() for p in curve["frontier"]]
    runs = [(r["kl"], r["reward"]) for r in exact.rows]
    scale = scales.kl_scale([kl for kl, _ in runs], [*kls, *(kl for kl, _ in runs)])
    low, high = scales.span([[reward] for _, reward in runs], rewards)
    x = scale.x("exact KL to the reference, nats per response")
    y = scales.y("exact reward that is maximised", low, high)
    layers = []
    for name, title, style in (
        ("frontier", "Exact frontier: the most reward at this KL", {"strokeWidth": 1.8}),
        ("best_of_n", "Best of n of the reference, exact", {"strokeDash": [5, 3]}),
    ):
        rows = [
            {"curve": i, "x": p["kl"], "y": p["reward"], "tip": {"title": title}}
            for i, curve in enumerate(distinct.values())
            for p in curve[name]
        ]
        colour = look.ink if name == "frontier" else look.muted
        line = points(rows).mark_line(color=colour, clip=True, **style)  # type: ignore[arg-type]
        layers.append(line.encode(x=x, y=y, detail="curve:N", tooltip="tip:N"))
    rows = [
        {"setting": labels.get(r["name"], OTHER), "x": r["kl"], "y": r["reward"]}
        | vega.tip_of(
            {
                "title": f"beta {r['beta']:g}, seed {r['seed']}",
                "lines": [
                    ["share of the gain", f"{r['share_of_gain']:.1%}"],
                    ["KL, nats", f"{r['kl']:.3f} (optimum {r['optimum_kl']:.3f})"],
                    ["reward", f"{r['reward']:.3f} (optimum {r['optimum_reward']:.3f})"],
                ],
            }
        )
        for r in exact.rows
    ]
    dots = points(rows).mark_point(filled=True, size=110, stroke=look.paper)
    channels: dict[str, Any] = {**look.encode(), "opacity": look.opacity(1.0)}
    made = vega.spec([*layers, dots.encode(x=x, y=y, **channels, **tips())], look, alt_text)
    words = [
        "Over the training prompts. Line: the most reward at each KL.",
        "Dashed: best of n of the reference.",
    ]
    return made if look.page else {**made, "title": {"text": alt_text, "subtitle": words}}


def _frame(paths: Sequence[Sequence[vega.Point]]) -> tuple[scales.KLScale, float, float]:
    ends = [path[-1][0] for path in paths if path]
    scale = scales.kl_scale(ends, [kl for path in paths for kl, _ in path])
    return scale, *scales.span([[value for _, value in path] for path in paths], [0.0])


def _zero(look: Look, y: Any) -> Any:
    rule = points([{"y": 0.0}]).mark_rule(
        color=look.muted, strokeDash=[4, 3], aria=False, tooltip=None
    )
    return rule.encode(y=y)


def _ends(runs: Sequence[tuple[str, str, Sequence[vega.Point]]], look: Look, x: Any, y: Any) -> Any:
    rows = [
        {
            "setting": setting,
            "x": path[-1][0],
            "y": path[-1][1],
            **vega.tip_of({"title": title, "lines": []}),
        }
        for setting, title, path in runs
    ]
    dots = points(rows).mark_point(filled=True, size=50, stroke=look.paper, clip=True)
    return dots.encode(x=x, y=y, **look.encode(), opacity=look.opacity(1.0), **tips())

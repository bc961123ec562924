"""Runs whose coefficient moves: controllers.png, and how well each controller held its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from rlhf.compare.figures.frontier import DPI, GREY, INK, styles_of
from rlhf.compare.read.curves import series, value
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.settings import Setting
from rlhf.compare.text.markdown import grid
from rlhf.rundir.read import number, read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND = 0.05  # "at the target" is within 5 % of it
RISEN = 0.9  # of the target: the KL of a run begins at 0
END = 1 / 3  # the share of a run that the steady state is judged by
# single KLs are noisy: the mean over this share of a run tells whether it has settled
WINDOW = 1 / 5
Series = Sequence[tuple[float, float]]  # (iteration, value), finite


@dataclass(frozen=True, kw_only=True)
class Response:
    """How a KL came to its target and stayed there. Shares of the target; nan for what was not
    reached."""

    rise: float  # the first iteration with a KL of at least 0.9 targets
    overshoot: float  # the highest KL over the target, 0 if never above
    # the first iteration from which the mean KL of a fifth of the run around it stays within 5 % of
    # the target
    settled: float
    error: float  # mean KL over the last third of the run, over the target, - 1
    spread: float  # standard deviation of single KLs over that third, over the target


def response(kl: Series, target: float) -> Response:
    """Raises ValueError for fewer than six points or no target above 0."""
    if not target > 0 or len(kl) < 6:
        raise ValueError(
            f"a response needs a target above 0 and six points, got {target} and {len(kl)}"
        )
    values = [x / target for _, x in kl]
    last, window = values[-round(END * len(values)) :], max(1, round(WINDOW * len(values)))
    means = [fmean(values[i : i + window]) for i in range(len(values) - window + 1)]
    outside = [i for i, mean in enumerate(means) if abs(mean - 1) > BAND]
    settled = outside[-1] + 1 if outside else 0
    return Response(
        rise=next((i for i, x in kl if x >= RISEN * target), math.nan),
        overshoot=max(0.0, max(values) - 1),
        settled=kl[settled + window // 2][0] if settled < len(means) else math.nan,
        error=fmean(last) - 1,
        spread=stdev(last),
    )


def unit(run: Run) -> str | None:
    """Of the run's target: sequence or token; None without a target."""
    recorded = next((u for u in ("sequence", "token") if series(run, f"kl/target_{u}_nats")), None)
    return recorded or (
        str(run.config.get("kl.controller.unit", "sequence"))
        if value(run.config, "kl.controller.target") > 0
        else None
    )


def target(run: Run) -> float:
    """nats, by `unit`: the last that the run recorded, else its config's; nan without one."""
    if unit(run) is None:
        return math.nan
    found = series(run, f"kl/target_{unit(run)}_nats")
    return found[-1][1] if found else value(run.config, "kl.controller.target")


def steered_kl(run: Run) -> tuple[Series, bool]:
    """The KL in the target's unit, and whether it is exact: that of the oracle where the run has
    it, else the rollouts' own estimate."""
    exact = series(run, "oracle/kl") if unit(run) != "token" else []
    return (exact, True) if exact else (series(run, f"kl/{unit(run) or 'sequence'}_nats"), False)


def solved(run: Run) -> float:
    """The coefficient whose optimum has the target as its KL, where the oracle solved for it;
    else nan."""
    found = number((read_json(run.directory / "oracle.json").get("target") or {}).get("beta"))
    return math.nan if found is None else found


def moving(settings: Sequence[Setting]) -> list[Run]:
    """Finished runs whose coefficient did not stay where it began."""
    return [
        run
        for s in settings
        for run in s.runs
        if len({coef for _, coef in series(run, "kl/coef")}) > 1
    ]


def write(directory: Path, settings: Sequence[Setting]) -> tuple[Path, str] | None:
    """controllers.png and its section of the report; None (and no file left of before) where no
    coefficient moved."""
    path = directory / "controllers.png"
    if not moving(settings):
        path.unlink(missing_ok=True)
        return None
    return draw(path, settings), markdown(settings)


def markdown(settings: Sequence[Setting]) -> str:
    lines = [
        "## How the coefficient moved",
        "",
        "![KL, its distance from the target and the coefficient by iteration](controllers.png)",
    ]
    rows = [
        _row(s, run)
        for s in settings
        for run in s.runs
        if unit(run) and len(steered_kl(run)[0]) >= 6
    ]
    if rows:
        head = (
            "setting",
            "seed",
            "target (nats)",
            "rise",
            "overshoot",
            "settled",
            "steady error",
            "coefficient",
        )
        lines += [
            "",
            (
                f"Rise: the first iteration at {RISEN:.0%} of the target. Overshoot: the highest KL"
                " above it."
            ),
            (
                "Settled: from there on the moving mean (over a fifth of the run) stays within"
                f" {BAND:.0%} of it. Steady error: mean KL"
            ),
            (
                "of the last third against the target, ± the standard deviation of single"
                " iterations. Coefficient: geometric mean of the last"
            ),
            "third, beside it the one whose optimum has the target's KL, where that is known. The"
            " KL is "
            + (
                "exact."
                if all(steered_kl(run)[1] for s in settings for run in s.runs if unit(run))
                else "that of the training rollouts."
            ),
            "",
            grid(head, rows),
        ]
    return "\n".join([*lines, ""])


def _row(setting: Setting, run: Run) -> list[str]:
    found = response(steered_kl(run)[0], target(run))
    coef, beside = final_coef(run), solved(run)
    return [
        setting.short,
        str(run.config.get("seed", "")),
        f"{target(run):g} a {'response' if unit(run) == 'sequence' else 'token'}",
        *cells(found),
        f"{coef:.3g}" + (f" ({beside:.3g})" if math.isfinite(beside) else ""),
    ]


def cells(found: Response) -> list[str]:
    """rise, overshoot, settled, steady error, as a table shows them."""
    at = [f"{x:.0f}" if math.isfinite(x) else "never" for x in (found.rise, found.settled)]
    return [
        at[0],
        f"{found.overshoot:.0%}",
        at[1],
        f"{100 * found.error:+.1f} ± {100 * found.spread:.1f} %",
    ]


def final_coef(run: Run) -> float:
    """The geometric mean over the last third of the run; 0 where a schedule ends at 0."""
    coefs = [coef for _, coef in series(run, "kl/coef")]
    last = coefs[-max(1, round(END * len(coefs))) :]
    return math.exp(fmean(map(math.log, last))) if min(last) > 0 else last[-1]


def draw(path: Path, settings: Sequence[Setting]) -> Path:
    """KL, its distance from the target and the coefficient, by iteration; a colour a setting, a
    line a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steered = [(s, run) for s in settings for run in s.runs if unit(run)]
    figure = Figure(figsize=(8.5, 8.5 if steered else 6), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(3 if steered else 2, sharex=True, squeeze=False).flat)
    colors = {label: color for label, (color, _) in styles_of(settings).items()}
    for s in settings:
        for i, run in enumerate(s.runs):
            _kl(axes[0], run, colors[s.label], s.short if not i else "_")
            _line(axes[-1], series(run, "kl/coef"), colors[s.label])
    for s, run in steered:
        _line(
            axes[1],
            [(i, 100 * (x / target(run) - 1)) for i, x in steered_kl(run)[0]],
            colors[s.label],
        )
    for level in sorted({target(run) for _, run in steered if unit(run) == "sequence"}):
        axes[0].axhline(level, color=INK, lw=1, ls="--", label=f"target {level:g}")
    for level in sorted(
        {round(beta, 4) for _, run in steered if math.isfinite(beta := solved(run))}
    ):
        axes[-1].axhline(
            level,
            color=INK,
            lw=1,
            ls=":",
            label=f"the coefficient that gives the target: {level:.3g}",
        )
    if steered:
        axes[1].axhspan(-100 * BAND, 100 * BAND, color=GREY, alpha=0.18, lw=0)
        axes[1].set_ylim(-60, 120)
        axes[1].set_ylabel("KL against its target (%)")
    if all(coef > 0 for s in settings for run in s.runs for _, coef in series(run, "kl/coef")):
        axes[-1].set_yscale("log")
        axes[-1].yaxis.set_major_formatter("{x:g}")
        axes[-1].yaxis.set_minor_formatter("{x:g}")
    _finish(axes)
    figure.savefig(path, dpi=DPI)
    return path


def _kl(ax: Axes, run: Run, color: str, label: str) -> None:
    """The exact KL where it is known, over the faint estimate of each rollout."""
    exact, sampled = series(run, "oracle/kl"), series(run, "kl/sequence_nats")
    if exact:
        ax.plot(*zip(*sampled, strict=True), color=color, lw=0.6, alpha=0.3)
    _line(ax, exact or sampled, color, label)


def _line(ax: Axes, points: Series, color: str, label: str = "_") -> None:
    if points:
        ax.plot(*zip(*points, strict=True), color=color, lw=1.3, label=label)


def _finish(axes: Sequence[Axes]) -> None:
    axes[0].set_title(
        "How the coefficient moved, and the KL with it", loc="left", fontsize=11, color=INK
    )
    axes[0].set_ylabel("KL (nats a response)")
    axes[-1].set_ylabel("coefficient")
    axes[-1].set_xlabel("iteration")
    for ax in axes:
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[1]:
            ax.legend(fontsize=8, frameon=False)

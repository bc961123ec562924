"""Charts over iterations: controllers, and training health as small multiples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlhf.compare.figures.page_charts import SIZE, Styles, blank, logarithmic
from rlhf.compare.figures.svg import INK, LINE
from rlhf.compare.read.curves import KL, series
from rlhf.compare.read.runs import Run
from rlhf.compare.statistics import step_response as controllers
from rlhf.compare.statistics.settings import Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALL = (3.3, 2.3)
MOST = 250  # points a line: more cannot be seen and make the page heavy


@dataclass(frozen=True, kw_only=True)
class Vital:
    """A sign of health: the first of `keys` that a run's rows have."""

    title: str
    keys: tuple[str, ...]
    transform: Callable[[float], float] = float


VITALS = (
    Vital(title="Entropy, nats a token", keys=("policy/entropy", "eval/policy/entropy")),
    Vital(title="Response length, tokens", keys=("response/length", "eval/response/length")),
    Vital(
        title="Share without EOS",
        keys=("response/ended", "eval/response/ended"),
        transform=lambda x: 1.0 - x,
    ),
    Vital(title="Clip fraction", keys=("ppo/clip_fraction",)),
    Vital(title="Explained variance of the values", keys=("ppo/explained_variance",)),
    Vital(title="Largest log-ratio of an update", keys=("ppo/log_ratio_max",)),
)
FLOOR = -1.0  # explained variance is not drawn below this: the first iterations can reach any depth


def vital(settings: Sequence[Setting], what: Vital, styles: Styles) -> Figure | None:
    """A small panel; None where no run has the metric."""
    lines = [
        (s, run, [(i, what.transform(v)) for i, v in series(run, *what.keys)])
        for s in settings
        for run in s.runs
    ]
    if not any(points for *_, points in lines):
        return None
    fig, ax = blank(SMALL, fontsize=9.5)
    for setting, run, points in lines:
        _line(ax, run, points, styles[setting.label][0], 1.1)
    low, high = ax.get_ylim()
    if "explained" in what.title.lower() and low < FLOOR:
        ax.set_ylim(FLOOR, max(high, 0.1))
    ax.set_xlabel("iteration")
    return fig


def coefficient(settings: Sequence[Setting], styles: Styles) -> Figure | None:
    """The coefficient by iteration, on a logarithmic scale where all are above 0."""
    lines = [(s, run, series(run, "kl/coef")) for s in settings for run in s.runs]
    if not any(points for *_, points in lines):
        return None
    fig, ax = blank(SIZE)
    for setting, run, points in lines:
        _line(ax, run, points, styles[setting.label][0], 1.4)
    logarithmic(ax.set_yscale, ax.yaxis, [y for *_, points in lines for _, y in points])
    ax.set_xlabel("iteration")
    ax.set_ylabel("coefficient")
    return fig


def kl_over_iterations(settings: Sequence[Setting], styles: Styles) -> Figure | None:
    """The KL of the rollouts by iteration, with the targets (nats a response) as lines."""
    fig, ax = blank(SIZE)
    some = False
    for s in settings:
        for run in s.runs:
            points = series(run, KL, f"eval/{KL}")
            some = some or bool(points)
            _line(ax, run, points, styles[s.label][0], 1.2)
    if not some:
        return None
    for level in sorted(
        {
            controllers.target(run)
            for s in settings
            for run in s.runs
            if controllers.unit(run) == "sequence"
        }
    ):
        ax.axhline(level, color=INK, lw=1.2, ls=(0, (5, 3)))
        note: dict[str, Any] = {
            "xytext": (-2, 3),
            "textcoords": "offset points",
            "ha": "right",
            "color": INK,
            "fontsize": 9.5,
        }
        ax.annotate(
            f"target {level:g}",
            (1.0, level),
            xycoords=ax.get_yaxis_transform(),
            gid="label",
            **note,
        )
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("iteration")
    ax.set_ylabel("KL to SFT, nats a response")
    return fig


def _line(
    ax: Axes, run: Run, points: Sequence[tuple[float, float]], color: str, width: float
) -> None:
    if points:
        ax.plot(
            *zip(*thin(points), strict=True),
            color=color,
            lw=width,
            alpha=0.8,
            gid=f"{LINE}{run.name}",
        )


HELD = (
    "setting",
    "seed",
    "target",
    "reached 90 % at",
    "overshoot",
    "settled at",
    "steady error",
    "coefficient",
)


def held(settings: Sequence[Setting]) -> list[list[str]]:
    """A line for each run with a target: how its KL came there and stayed."""
    return [line for s in settings for run in s.runs if (line := _held(s, run)) is not None]


def _held(setting: Setting, run: Run) -> list[str] | None:
    target, (kl, _) = controllers.target(run), controllers.steered_kl(run)
    if not target > 0 or len(kl) < 6:
        return None
    found = controllers.response(kl, target)
    name = f"{target:g} nats a {'token' if controllers.unit(run) == 'token' else 'response'}"
    return [
        setting.label,
        str(run.config.get("seed", "")),
        name,
        *controllers.cells(found),
        f"{controllers.final_coef(run):.3g}",
    ]


def thin(points: Sequence[tuple[float, float]], most: int = MOST) -> list[tuple[float, float]]:
    """At most about `most` points, evenly chosen, the last among them."""
    step = max(math.ceil(len(points) / most), 1)
    kept = list(points[::step])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]

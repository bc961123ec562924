"""The way of a run's KL to its target: how fast it came there, and how well it stayed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlhf.compare.read import Run, series, value
from rlhf.compare.statistics.settings import Setting
from rlhf.metrics import COEF, KL, METRICS
from rlhf.rundir.read import read_json

BAND = 0.05  # "at the target" is within 5 % of it
RISEN = 0.9  # of the target: the KL of a run begins at 0
POINTS = 6  # fewer tell nothing
END = 1 / 3  # the share of a run that the steady state is judged by
# single KLs are noisy: the mean over this share of a run tells whether it has settled
WINDOW = 1 / 5
Series = Sequence[tuple[float, float]]  # (iteration, value), finite


@dataclass(frozen=True, kw_only=True)
class Response:
    """The way of a KL to its target. Shares of the target; nan for what was not
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
    if not target > 0 or len(kl) < POINTS:
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
    recorded = series(run, f"kl/target_{unit(run)}_nats")
    return recorded[-1][1] if recorded else value(run.config, "kl.controller.target")


def steered_kl(run: Run) -> tuple[Series, bool]:
    """The KL in the target's unit, and whether it is exact: that of the oracle where the run has
    it, else the rollouts' own estimate."""
    exact = series(run, "oracle/kl") if unit(run) != "token" else []
    return (exact, True) if exact else (series(run, f"kl/{unit(run) or 'sequence'}_nats"), False)


def solved(run: Run) -> float:
    """The coefficient whose optimum has the target as its KL, where the oracle solved for it;
    else nan."""
    return value(read_json(run.directory / "oracle.json").get("target") or {}, "beta")


def final_coef(run: Run) -> float:
    """The geometric mean over the last third of the run; 0 where a schedule ends at 0."""
    coefs = [coef for _, coef in series(run, COEF)]
    last = coefs[-max(1, round(END * len(coefs))) :]
    return math.exp(fmean(map(math.log, last))) if min(last) > 0 else last[-1]


@dataclass(frozen=True, kw_only=True)
class Steering:
    """A run's coefficient and KL by iteration, and the target that it was steered to."""

    setting: Setting
    run: Run
    coef: Series
    rollouts: Series  # the KL of training; `measured` has the evaluations where it was not recorded
    measured: Series
    exact: Series  # the oracle's KL, where the run has it
    unit: str | None
    target: float
    solved: float
    kl: Series  # in the target's unit, what the response is of
    is_exact: bool  # whether `kl` is the oracle's
    response: Response | None  # None without a target, or with too few points


def steering(setting: Setting, run: Run) -> Steering:
    """A run's way to its target, from its files."""
    kl, is_exact = steered_kl(run)
    goal = target(run)
    return Steering(
        setting=setting,
        run=run,
        coef=series(run, COEF),
        rollouts=series(run, KL),
        measured=series(run, *METRICS[KL].keys),
        exact=series(run, "oracle/kl"),
        unit=unit(run),
        target=goal,
        solved=solved(run),
        kl=kl,
        is_exact=is_exact,
        response=response(kl, goal) if goal > 0 and len(kl) >= POINTS else None,
    )

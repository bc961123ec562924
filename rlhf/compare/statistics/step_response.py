"""The way of a run's KL to its target: how fast it came there, and how well it stayed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlhf.compare.read import Run, series, value
from rlhf.metrics import COEF, KL, METRICS, TOKEN_KL
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


@dataclass(frozen=True, kw_only=True)
class Steering:
    """A run's coefficient and KL by iteration, and the target that it was steered to."""

    run: Run
    coef: Series
    rollouts: Series  # the KL of training; `measured` has the evaluations where it was not recorded
    measured: Series
    exact: Series  # the oracle's KL, where the run has it
    unit: str | None  # of the target: sequence or token; None without one
    target: float  # nats, the last that the run recorded, else its config's; nan without one
    solved: float  # the coefficient whose optimum has the target as its KL, where that is known
    kl: Series  # in the target's unit: the oracle's where the run has it, else the rollouts' own
    response: Response | None  # None without a target, or with too few points

    @property
    def final_coef(self) -> float:
        """The geometric mean over the last third of the run; 0 where a schedule ends at 0, nan
        where none was recorded as a number."""
        last = [coef for _, coef in self.coef[-max(1, round(END * len(self.coef))) :]]
        if not last:
            return math.nan
        return math.exp(fmean(map(math.log, last))) if min(last) > 0 else last[-1]


def steering(run: Run) -> Steering:
    """A run's way to its target, from its files."""
    recorded = {u: series(run, f"kl/target_{u}_nats") for u in ("sequence", "token")}
    target = value(run.config, "kl.controller.target")
    unit = next((u for u, targets in recorded.items() if targets), None)
    if unit is not None:
        target = recorded[unit][-1][1]
    elif target > 0:
        unit = str(run.config.get("kl.controller.unit", "sequence"))
    rollouts, exact = series(run, KL), series(run, "oracle/kl")
    kl = series(run, TOKEN_KL) if unit == "token" else exact or rollouts
    return Steering(
        run=run,
        coef=series(run, COEF),
        rollouts=rollouts,
        measured=series(run, *METRICS[KL].keys),
        exact=exact,
        unit=unit,
        target=target if unit is not None else math.nan,
        solved=value(read_json(run.directory / "oracle.json").get("target") or {}, "beta"),
        kl=kl,
        response=response(kl, target) if target > 0 and len(kl) >= POINTS else None,
    )

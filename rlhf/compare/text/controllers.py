"""Tables of how each controller held its target, for report.md and report.html."""

from __future__ import annotations

import math

from rlhf.compare.statistics import BAND, RISEN, Response, Steering, Study
from rlhf.compare.text.markdown import grid

HEAD = (
    *("setting", "seed", "target (nats)", "rise", "overshoot", "settled"),
    *("steady error", "coefficient"),
)
HELD = (
    *("setting", "seed", "target", "reached 90 % at", "overshoot", "settled at"),
    *("steady error", "coefficient"),
)


def markdown(study: Study) -> str:
    """The section of report.md; empty where no coefficient moved."""
    if not study.moved:
        return ""
    lines = [
        "## How the coefficient moved",
        "",
        "![KL, its distance from the target and the coefficient by iteration](controllers.png)",
    ]
    rows = [
        [
            setting.short,
            *_row(s, s.response),
            f"{s.final_coef:.3g}" + (f" ({s.solved:.3g})" if math.isfinite(s.solved) else ""),
        ]
        for setting, s in study.steering
        if s.response is not None
    ]
    if rows:
        exact = all(s.exact and s.unit != "token" for _, s in study.steering if s.unit)
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
            (
                "third, beside it the one whose optimum has the target's KL, where that is known."
                f" The KL is {'exact' if exact else 'that of the training rollouts'}."
            ),
            "",
            grid(HEAD, rows),
        ]
    return "\n".join(lines)


def held(study: Study) -> list[list[str]]:
    """A line for each run with a target: how its KL came there and stayed."""
    return [
        [setting.label, *_row(s, s.response, "nats "), f"{s.final_coef:.3g}"]
        for setting, s in study.steering
        if s.response is not None
    ]


def _row(s: Steering, response: Response, unit: str = "") -> list[str]:
    seed, per = str(s.run.config.get("seed", "")), "token" if s.unit == "token" else "response"
    return [seed, f"{s.target:g} {unit}a {per}", *cells(response)]


def cells(response: Response) -> list[str]:
    """rise, overshoot, settled, steady error, as a table shows them."""
    rise, settled = (
        f"{x:.0f}" if math.isfinite(x) else "never" for x in (response.rise, response.settled)
    )
    error = f"{100 * response.error:+.1f} ± {100 * response.spread:.1f} %"
    return [rise, f"{response.overshoot:.0%}", settled, error]

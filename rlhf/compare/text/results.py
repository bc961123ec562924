"""The results of the runs, as sections of report.md and lines of tables: rewards at matched KL, the
exact optimum, how each controller held its target, training health. A section is empty where there
is nothing to tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rlhf.compare.statistics import (
    BAND,
    BUDGETS,
    RISEN,
    Cell,
    Matched,
    Response,
    Sickness,
    Standing,
    Steering,
    Study,
    say,
)
from rlhf.compare.text.tables import grid, plain

BESIDE = (
    *("beta", "seed", "share of the gain", "J", "J*", "J of the reference"),
    *("KL (optimum)", "reward (optimum)", "missing", "KL to the optimum", "effective beta"),
)
HEAD = (
    *("setting", "seed", "target (nats)", "reached", "overshoot", "settled"),
    *("steady error", "coefficient"),
)
HELD = (
    *("setting", "seed", "target", "reached", "overshoot", "settled"),
    *("steady error", "coefficient"),
)


READING = (
    "Settings end at different KLs; here each is read at the same KL. The reading is a local fit of"
    " reward against KL through the evaluations and training rollouts near that KL, at the last"
    " time that training passed it. In brackets: 95 % confidence intervals over seeds, or of the"
    " reading where there is one seed."
)
MARKED = "†"
SHORT = "The KL stayed up to a tenth below the budget; the reading is at its furthest."
STEERED = (
    f"Reached: the first iteration with {RISEN:.0%} of the target. Overshoot: the highest KL over"
    " the target. Settled: the first iteration from which the moving mean of the KL (over a fifth"
    f" of the run) stays within {BAND:.0%} of the target. Steady error: mean KL of the last third"
    " over the target, ± the standard deviation of single iterations. Coefficient: geometric mean"
    " of the last third."
)


def matched_rows(study: Study) -> list[dict[str, Any]]:
    """The lines of matched.csv, one a reward, setting and budget; without numbers where no run
    came there."""
    return [
        {
            "reward": table.key,
            "setting": label,
            "budget_nats": cell.budget,
            **{
                name: "" if math.isnan(x := getattr(cell.interval, name)) else x
                for name in ("mean", "low", "high")
            },
            "reached": cell.reached,
            "runs": cell.runs,
            "short": cell.short,
            "furthest_nats": cell.furthest,
        }
        for table in study.matched
        for label, cells in table.rows
        for cell in cells
    ]


def matched(study: Study) -> str:
    """The reward that decides, of every setting at every budget."""
    table = study.deciding
    if table is None:
        return ""
    head = ["setting", *(f"{b:g} nat{'s' if b != 1 else ''}" for b in BUDGETS)]
    explanation = f"{table.reward.capitalize()} reward. {READING} {MARKED} {SHORT}"
    rows = [[label, *map(shown, cells)] for label, cells in table.rows]
    lines = "\n".join(f"- {line}" for line in standings(table, plain))
    return f"## At matched KL\n\n{explanation}\n\n{grid(head, rows)}" + (lines and f"\n\n{lines}")


def standings(table: Matched, name: Callable[[str], str] = str) -> list[str]:
    """A sentence a budget at which two settings have a reading; `name`: how a label is written."""
    return [_standing(s, name) for s in table.standings if len(s.order) > 1]


def _standing(s: Standing, name: Callable[[str], str]) -> str:
    """Says which settings differ from the highest at a budget."""
    lower = ", ".join(map(name, s.lower))
    beyond = ", ".join(name(low) for high, low in s.beyond_noise if high == s.highest)
    parts = [f"clearly higher than {lower}"] * bool(lower)
    parts += [f"higher than {beyond} by more than the readings' noise, with one seed"] * bool(
        beyond
    )
    return (
        f"{s.kl:g} nat{'s' if s.kl != 1 else ''}: {name(s.highest or '')} is highest, "
        + ("; ".join(parts) or "not clearly higher than any other")
        + "."
    )


def shown(cell: Cell) -> str:
    """1.57 (1.45 to 1.69)†, with a dagger for what only came within a tenth of the budget."""
    if not cell.reached:
        return cell.why
    few = f", {cell.reached} of {cell.runs} seeds" if cell.reached < cell.runs else ""
    return say(cell.interval) + (MARKED if cell.short else "") + few


def exact_lines(study: Study) -> list[str]:
    """The runs beside the exact optimum as one paragraph for a terminal; none where there is no
    exact answer."""
    rows = [
        f"{r['beta']:>6g} {r['seed']!s:>5} {r['share_of_gain']:>18.2%} {r['objective']:7.3f}"
        f" {r['optimum']:7.3f} {r['kl']:7.3f} {r['reward']:7.3f}"
        for r in study.exact.rows
    ]
    head = "  beta  seed  share of the gain       J      J*      KL  reward"
    return (
        ["\n".join(["Beside the exact optimum, over the training prompts:", head, *rows])]
        if study.exact.table
        else []
    )


def _known(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def exact(study: Study) -> str:
    if not study.exact.table:
        return ""
    lines = [
        [
            f"{r['beta']:g}",
            str(r["seed"]),
            f"{r['share_of_gain']:.2%}",
            *(f"{r[name]:.4f}" for name in ("objective", "optimum", "reference")),
            *(f"{r[name]:.3f} ({r[f'optimum_{name}']:.3f})" for name in ("kl", "reward")),
            f"{r['missing_at_kl']:.4f}",
            *(
                _known(r[name], form)
                for name, form in (("kl_to_optimum", ".4f"), ("effective_beta", ".4g"))
            ),
        ]
        for r in study.exact.rows
    ]
    explanation = (
        "Every response is listed, so these numbers have no sampling error. J = E[r] - beta KL,"
        " over the prompts of training; J* is the\nbest that any policy can reach; the share is (J"
        " - J of the reference) / (J* - J of the reference); what is missing is the reward\nthat"
        " the best policy with the same KL has more. The effective beta is the coefficient\nwhose"
        " optimum has the run's KL."
    )
    table = [f"| {' | '.join(BESIDE)} |", "|" + "---|" * len(BESIDE)]
    table += [f"| {' | '.join(cells)} |" for cells in lines]
    picture = "\n\n![](oracle.png)" if study.exact.curves else ""
    return "## Beside the exact optimum\n\n" + explanation + "\n\n" + "\n".join(table) + picture


def controllers(study: Study) -> str:
    """The way of the coefficients, where one moved, and a table of the runs with a target."""
    if not study.moved:
        return ""
    picture = (
        "## How the coefficient moved\n\n"
        "![KL, its distance from the target and the coefficient by iteration](controllers.png)"
    )
    rows = [
        [
            setting.short,
            *_row(s, s.response),
            f"{s.final_coef:.3g}" + (f" ({s.solved:.3g})" if math.isfinite(s.solved) else ""),
        ]
        for setting, s in study.steering
        if s.response is not None
    ]
    if not rows:
        return picture
    exact = all(s.exact and s.unit != "token" for _, s in study.steering if s.unit)
    explanation = (
        f"{STEERED} In brackets: the coefficient whose optimum has the target's KL, where that is"
        f" known. The KL is {'exact' if exact else 'of the training rollouts'}."
    )
    return f"{picture}\n\n{explanation}\n\n{grid(HEAD, rows)}"


def held(study: Study) -> list[list[str]]:
    """A line for each run with a target: how its KL came there and stayed."""
    return [
        [setting.label, *_row(s, s.response, "nats "), f"{s.final_coef:.3g}"]
        for setting, s in study.steering
        if s.response is not None
    ]


def _row(s: Steering, response: Response, unit: str = "") -> list[str]:
    seed, per = str(s.run.config.get("seed", "")), "token" if s.unit == "token" else "response"
    return [seed, f"{s.target:g} {unit}per {per}", *cells(response)]


def cells(response: Response) -> list[str]:
    """rise, overshoot, settled, steady error, as a table shows them."""
    rise, settled = (
        f"{x:.0f}" if math.isfinite(x) else "never" for x in (response.rise, response.settled)
    )
    error = f"{100 * response.error:+.1f} ± {100 * response.spread:.1f} %"
    return [rise, f"{response.overshoot:.0%}", settled, error]


def health(study: Study) -> str:
    """A line for each kind of sickness, or that there is none."""
    return "## Training health\n\n" + ("\n".join(_line(*s) for s in study.sick) or study.well)


def _line(first: Sickness, others: Sequence[Sickness]) -> str:
    also = ", ".join(f"{plain(s.setting)} ({s.runs} of {s.of})" for s in others)
    return (
        f"- **{first.kind}**, {plain(first.setting)} ({first.runs} of {first.of} runs):"
        f" {first.sentence}"
    ) + (f" Also: {also}." if also else "")

"""Tables of what algorithms reached, beside exact gradient ascent."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.oracle_suite.power import is_blind, percent
from benchmarks.oracle_suite.problems import JUDGED, SOLVED
from benchmarks.speed.report import middle

NEARLY = 0.9  # of the gain

Row = Mapping[str, Any]
Place = tuple[int, float]  # problem and coefficient


def judged_at(row: Row, known: Row) -> dict[str, Any]:
    """The row of a policy, measured at the coefficient of `known`, whatever it was trained with.

    J = reward - beta KL, and KL(pi || pi*) = (J* - J) / beta.
    """
    gap = known["optimum"] - (row["reward"] - known["beta"] * row["kl"])
    share = 1 - gap / known["gain"]
    return {**row, "share_of_gain": share, "kl_to_optimum": gap / known["beta"]}


def by_place(rows: Sequence[Row]) -> dict[Place, list[Row]]:
    groups: dict[Place, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["problem"], row["beta"]].append(row)
    return groups


def labels_of(rows: Sequence[Row]) -> list[str]:
    return [*dict.fromkeys(row["label"] for row in rows)]


def part_of_ascent(rows: Sequence[Row], power: Row) -> float:
    """The median share of the gain over the seeds, as a part of exact gradient ascent's. NaN where
    that was not run."""
    return statistics.median(row["share_of_gain"] for row in rows) / power.get("ascent", math.nan)


def parts(rows: Sequence[Row], power: Sequence[Row]) -> dict[Place, float]:
    """`part_of_ascent` of each problem and coefficient where both were run."""
    known = {(row["problem"], row["beta"]): row for row in power if "ascent" in row}
    return {
        place: part_of_ascent(own, known[place])
        for place, own in by_place(rows).items()
        if place in known
    }


def reached_table(rows: Sequence[Row], power: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    titles = [
        *("algorithm", "problem", "beta", "share of the gain, %", "exact ascent", "part of it"),
        *("KL", "KL(pi, pi*)", "effective beta", "blind"),
    ]
    known = {(row["problem"], row["beta"]): row for row in power}
    lines = []
    for label in labels_of(rows):
        for place, own in by_place([row for row in rows if row["label"] == label]).items():
            best = known[place]
            lines.append(
                [
                    label,
                    str(place[0]),
                    f"{place[1]:g}",
                    middle([100 * row["share_of_gain"] for row in own]),
                    percent(best.get("ascent", math.nan)),
                    percent(part_of_ascent(own, best)),
                    middle([row["kl"] for row in own], 3),
                    middle([row["kl_to_optimum"] for row in own], 4),
                    middle([row["effective_beta"] for row in own], 3),
                    "blind" if is_blind(dict(best)) else "",
                ]
            )
    return titles, lines


def shares_table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """One line an algorithm and coefficient: the share of the gain on each problem, in percent, the
    mean of the problems' medians, and how many of them have at least `NEARLY` of the gain."""
    problems = sorted({row["problem"] for row in rows})
    titles = ["algorithm", "beta", "responses", "seeds", *(f"problem {n}" for n in problems)]
    lines = []
    for label, beta in dict.fromkeys((row["label"], row["beta"]) for row in rows):
        own = [row for row in rows if (row["label"], row["beta"]) == (label, beta)]
        each = {
            n: [100 * row["share_of_gain"] for row in own if row["problem"] == n] for n in problems
        }
        medians = [statistics.median(shares) for shares in each.values() if shares]
        mean = f"{statistics.mean(medians):.1f}" if len(medians) == len(problems) else "-"
        lines.append(
            [
                *(label, f"{beta:g}", f"{int(own[0]['responses']):,}"),
                span([len(shares) for shares in each.values()]),
                *(middle(shares, 1) if shares else "-" for shares in each.values()),
                *(mean, f"{sum(m >= 100 * NEARLY for m in medians)} of {len(medians)}"),
            ]
        )
    return [*titles, "mean", f"{NEARLY:.0%} or more"], lines


def span(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def solved(rows: Sequence[Row], power: Sequence[Row]) -> dict[int, bool]:
    """Of each problem: whether every coefficient >= 0.1 that was run has `SOLVED` of ascent."""
    verdict: dict[int, bool] = {}
    for (problem, beta), part in parts(rows, power).items():
        if beta in JUDGED:
            verdict[problem] = verdict.get(problem, True) and part >= SOLVED
    return verdict


def solved_table(rows: Sequence[Row], power: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """One line an algorithm: problems solved, and of each problem the least part of ascent's share
    over the coefficients >= 0.1."""
    problems = sorted({row["problem"] for row in rows})
    titles = ["algorithm", "solved", "responses", *(f"problem {n}, least part %" for n in problems)]
    lines = []
    for label in labels_of(rows):
        own = [row for row in rows if row["label"] == label]
        each, done = parts(own, power), solved(own, power)
        least = {
            n: min((p for (m, beta), p in each.items() if m == n and beta in JUDGED), default=None)
            for n in problems
        }
        spent = sorted({int(row["responses"]) for row in own})
        lines.append(
            [
                label,
                f"{sum(done.values())} of {len(done)}",
                " to ".join(f"{n:,}" for n in (spent if len(spent) < 2 else (spent[0], spent[-1]))),
                *("-" if p is None else percent(p) for p in least.values()),
            ]
        )
    return titles, lines

"""Exact answers beside the runs: oracle.csv, and the same for a terminal and for report.md."""

from __future__ import annotations

import csv
from pathlib import Path

from rlhf.compare.statistics import Exact, Study
from rlhf.compare.statistics.exact import COLUMNS, MORE


def write_csv(path: Path, exact: Exact) -> None:
    """One line a run, copies marked."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *MORE, "name", "copy_of"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(exact.table)


def terminal(study: Study) -> list[str]:
    """A table in one paragraph; none where there is no exact answer."""
    rows = [
        f"{r['beta']:>6g} {r['seed']!s:>5} {r['share_of_gain']:>18.2%} {r['objective']:7.3f}"
        f" {r['optimum']:7.3f} {r['kl']:7.3f} {r['reward']:7.3f}"
        for r in study.exact.rows
    ]
    head = "  beta  seed  share of the gain       J      J*      KL  reward"
    return ["\n".join(["Beside the exact optimum:", head, *rows])] if study.exact.table else []


def markdown(study: Study) -> str:
    """The section of report.md; empty where there is no exact answer."""
    if not study.exact.table:
        return ""
    head = (
        "beta",
        "seed",
        "share of the gain",
        "J",
        "J*",
        "J of the reference",
        "KL (optimum)",
        "reward (optimum)",
        "missing",
    )
    lines = [
        "## Beside the exact optimum",
        "",
        (
            "Every response is listed, so these numbers have no sampling error. J = E[r] - beta KL,"
            " over the prompts of training; J* is the"
        ),
        (
            "best that any policy can reach; the share is (J - J of the reference) / (J* - J of the"
            " reference); what is missing is the reward"
        ),
        "that the best policy with the same KL has more.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for r in study.exact.rows:
        objectives = [f"{r[name]:.4f}" for name in ("objective", "optimum", "reference")]
        beside = [f"{r[name]:.3f} ({r[f'optimum_{name}']:.3f})" for name in ("kl", "reward")]
        cells = [
            f"{r['beta']:g}",
            str(r["seed"]),
            f"{r['share_of_gain']:.2%}",
            *objectives,
            *beside,
            f"{r['missing_at_kl']:.4f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", "![](oracle.png)"] if study.exact.curves else [])])

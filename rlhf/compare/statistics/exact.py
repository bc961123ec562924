"""Runs on an enumerable problem (callbacks=oracle): oracle.csv, and where each stands on the
exact frontier."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf.compare.read.runs import Run
from rlhf.rundir.read import number, read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ("beta", "seed", "objective", "optimum", "reference", "share_of_gain", "kl", "reward")
MORE = ("gap", "missing_at_kl", "optimum_kl", "optimum_reward", "entropy")


@dataclass(frozen=True, kw_only=True)
class Exact:
    rows: list[dict[str, Any]]  # one a run that counts, by beta and seed
    files: dict[str, Path]
    text: str  # for a terminal
    markdown: str


def write(directory: Path, runs: Sequence[Run], copies: Mapping[str, str]) -> Exact | None:
    """oracle.csv and oracle.png of the runs that have exact answers; None (and no file left of
    before) where none has.

    `copies`: name of a run that is in no number -> name of the one of its seed that counts; the
    table marks it and nothing else shows it.
    """
    known = sorted(
        (run for run in runs if "oracle/share_of_gain" in run.summary),
        key=lambda run: (_beta(run), run.config.get("seed", 0)),
    )
    table, picture = directory / "oracle.csv", directory / "oracle.png"
    if not known:
        table.unlink(missing_ok=True)
        picture.unlink(missing_ok=True)
        return None
    rows = [_row(run) | {"copy_of": copies.get(run.name, "")} for run in known]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*COLUMNS, *MORE, "name", "copy_of"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    files, rows = {"oracle.csv": table}, [row for row in rows if not row["copy_of"]]
    curves = [found for run in known if (found := read_json(run.directory / "oracle.json"))]
    if curves:
        files["oracle.png"] = draw(picture, rows, curves)
    return Exact(rows=rows, files=files, text=_text(rows), markdown=_markdown(rows, bool(curves)))


def _beta(run: Run) -> float:
    """The coefficient that the optimum was computed with: the one in force at the end."""
    return float(run.summary.get("kl.coef_final", run.summary["kl.coef"]))


def _row(run: Run) -> dict[str, Any]:
    exact = {name: number(run.summary[f"oracle/{name}"]) for name in (*COLUMNS[2:], *MORE)}
    return {"beta": _beta(run), "seed": run.config.get("seed"), **exact, "name": run.name}


def draw(path: Path, rows: Sequence[dict[str, Any]], curves: Sequence[dict[str, Any]]) -> Path:
    """Write `figure` as a PNG."""
    figure(rows, curves).savefig(path, dpi=150)
    return path


def figure(
    rows: Sequence[dict[str, Any]],
    curves: Sequence[dict[str, Any]],
    size: tuple[float, float] = (8, 5),
) -> Figure:
    """The best reward at every KL, our runs, and best of n of the reference. Each distinct
    reference has a frontier of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(made)
    axes = made.add_subplot()
    distinct = {tuple(point["kl"] for point in curve["frontier"]): curve for curve in curves}
    for i, curve in enumerate(distinct.values()):  # "_" keeps a line out of the legend
        optimal, kept = (
            [[point[axis] for point in curve[name]] for axis in ("kl", "reward")]
            for name in ("frontier", "best_of_n")
        )
        axes.plot(*optimal, color="#444444", lw=1.2, zorder=1, label="_" if i else "exact frontier")
        axes.plot(
            *kept,
            "s--",
            color="#999999",
            ms=4,
            lw=0.8,
            label="_" if i else "best of n of the reference, exact",
        )
    betas = sorted({row["beta"] for row in rows})
    for i, beta in enumerate(betas):
        of = [row for row in rows if row["beta"] == beta]
        share = min(row["share_of_gain"] for row in of)
        label = f"PPO at {beta:g}: {share:.1%} of the gain" + (" at least" if len(of) > 1 else "")
        axes.scatter(
            [r["kl"] for r in of],
            [r["reward"] for r in of],
            s=42,
            color=f"C{i}",
            label=label,
            zorder=3,
            edgecolors="white",
        )
    axes.set_xlabel("KL to the reference (nats a response, exact)")
    axes.set_ylabel("reward that PPO maximises (exact)")
    axes.set_title("Did PPO do as well as it could?")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.2)
    return made


def _text(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "Beside the exact optimum:",
        "  beta  seed  share of the gain       J      J*      KL  reward",
    ]
    for r in rows:
        numbers = f"{r['objective']:7.3f} {r['optimum']:7.3f} {r['kl']:7.3f} {r['reward']:7.3f}"
        lines.append(f"{r['beta']:>6g} {r['seed']!s:>5} {r['share_of_gain']:>18.2%} {numbers}")
    return "\n".join(lines)


def _markdown(rows: Sequence[dict[str, Any]], drawn: bool) -> str:
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
    for r in rows:
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
    return "\n".join([*lines, *(["", "![](oracle.png)"] if drawn else []), ""])

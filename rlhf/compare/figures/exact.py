"""The runs of an enumerable problem beside its exact frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlhf.compare.figures.style import canvas
from rlhf.compare.statistics import Exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure(exact: Exact, size: tuple[float, float] = (8, 5)) -> Figure:
    """The best reward at every KL, our runs, and best of n of the reference. Each distinct
    reference has a frontier of its own."""
    fig = canvas(size)
    axes = fig.add_subplot()
    distinct = {tuple(point["kl"] for point in curve["frontier"]): curve for curve in exact.curves}
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
    for i, beta in enumerate(sorted({row["beta"] for row in exact.rows})):
        of = [row for row in exact.rows if row["beta"] == beta]
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
    axes.set(
        xlabel="KL to the reference (nats a response, exact)",
        ylabel="reward that PPO maximises (exact)",
        title="Did PPO do as well as it could?",
    )
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.2)
    return fig

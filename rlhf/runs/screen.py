"""The table at the end of a run, and where everything is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# what the table at the end of a run shows; summary.json has everything
SHOWN = (
    "objective",
    "reward/",
    "sft/",
    "kl.coef",
    "kl/sequence_nats",
    "kl/plain/sequence_nats",
    "response/",
    "policy/",
    "val/",
    "reward_model/",
    "wall_seconds",
)


def print_summary(summary: dict[str, Any], directory: Path) -> None:
    """Prints a finished run's numbers, warnings, files and links."""
    from rich.console import Console
    from rich.table import Table

    from rlhf.tracking.links import directory_links

    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in summary.items():
        if (
            not isinstance(value, (int, float))
            or not key.startswith(SHOWN)
            or key.endswith(("_se", "_k2", "_k3", "_exact"))
        ):
            continue
        error = summary.get(f"{key}_se")
        table.add_row(
            key, f"{value:.4g}" + (f" ± {error:.2g}" if isinstance(error, (int, float)) else "")
        )
    console = Console()
    console.print(table)
    for warning in summary.get("warnings", ()):
        console.print(f"\nwarning: {warning}", highlight=False)
    names = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    console.print(f"\n{directory}: {', '.join(names)}", highlight=False, soft_wrap=True)
    for label, place in directory_links(directory).items():
        console.print(f"{label:<8}{place}", highlight=False, soft_wrap=True)

"""The runs of an enumerable problem (callbacks=oracle) beside its exact answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.compare.read import Run
from rlhf.rundir.read import number, read_json

COLUMNS = ("beta", "seed", "objective", "optimum", "reference", "share_of_gain", "kl", "reward")
MORE = ("gap", "missing_at_kl", "optimum_kl", "optimum_reward", "entropy")


@dataclass(frozen=True, kw_only=True)
class Exact:
    table: list[dict[str, Any]]  # one row a run, by beta and seed
    curves: list[dict[str, Any]]  # the runs' oracle.json: exact frontier, best of n

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of runs that count: the table marks copies, and nothing else shows them."""
        return [row for row in self.table if not row["copy_of"]]


def exact(runs: Sequence[Run], copies: Mapping[str, str]) -> Exact:
    """The exact answers that the runs have; empty where they have none.

    `copies`: name of a run that is in no number -> name of the one of its seed that counts.
    """
    known = sorted(
        (run for run in runs if "oracle/share_of_gain" in run.summary),
        key=lambda run: (_beta(run), run.config.get("seed", 0)),
    )
    return Exact(
        table=[_row(run) | {"copy_of": copies.get(run.name, "")} for run in known],
        curves=[curve for run in known if (curve := read_json(run.directory / "oracle.json"))],
    )


def _beta(run: Run) -> float:
    """The coefficient that the optimum was computed with: the one in force at the end."""
    return float(run.summary.get("kl.coef_final", run.summary["kl.coef"]))


def _row(run: Run) -> dict[str, Any]:
    exact = {name: number(run.summary[f"oracle/{name}"]) for name in (*COLUMNS[2:], *MORE)}
    return {"beta": _beta(run), "seed": run.config.get("seed"), **exact, "name": run.name}

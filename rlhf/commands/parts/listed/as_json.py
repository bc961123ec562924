"""The entries of an inventory as JSON: bytes, seconds, ISO times. docs/how-to/find_runs.md has the
keys."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rlhf.commands.parts.listed.rows import Entry, best_job, state_of
from rlhf.inventory import ArtifactEntry, Leftover, Measured, RunEntry, SweepEntry


def of_run(run: RunEntry) -> dict[str, Any]:
    return {
        "name": run.name,
        **_common(run),
        "resumable": run.is_resumable,
        "study": run.study,
        "sweep": run.sweep,
        "stage": run.stage,
        "seed": run.seed,
        "iteration": run.iteration,
        "iterations": run.iterations,
        "reward": {"name": run.reward.name, **(of_number(run.reward) or {})}
        if run.reward
        else None,
        "kl": of_number(run.kl),
        "checkpoint_bytes": run.checkpoints.bytes,
        "parents": [key._asdict() for key in run.parents],
        "artifact": run.made._asdict() if run.made else None,
        "points": [str(point.directory) for point in run.points],
        "used_by": [str(place) for place in run.used_by],
    }


def of_sweep(sweep: SweepEntry) -> dict[str, Any]:
    best = best_job(sweep)
    return {
        "name": sweep.name,
        **_common(sweep),
        "study": sweep.study,
        "overrides": list(sweep.overrides),
        "states": dict(sweep.states),
        "jobs": [job.name for job in sweep.jobs],
        "process": sweep.parent,
        "best": best.name if best else None,
        "report": str(sweep.report) if sweep.report else None,
    }


def of_artifact(entry: ArtifactEntry | Leftover) -> dict[str, Any]:
    about_it = {**entry.key._asdict(), **_common(entry)}
    if isinstance(entry, Leftover):
        return {**about_it, "kind": entry.kind, "parents": [], "run": None, "used_by": []}
    return {
        **about_it,
        "kind": "artifact",
        "parents": [key._asdict() for key in entry.parents],
        "run": entry.run,
        "used_by": [str(place) for place in entry.used_by],
    }


def _common(entry: Entry) -> dict[str, Any]:
    changed = entry.changed
    return {
        "directory": str(entry.directory),
        **({} if isinstance(entry, SweepEntry) else {"state": state_of(entry)}),
        "damage": [] if isinstance(entry, Leftover) else list(entry.damage),
        "bytes": entry.disk.bytes,
        "changed": None if changed is None else iso(changed),
        "age_seconds": None if changed is None else round(max(0.0, time.time() - changed), 1),
    }


def iso(seconds: float) -> str:
    """2026-11-27T07:31:25Z"""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of_number(measured: Measured | None) -> dict[str, Any] | None:
    return None if measured is None else finite({"value": measured.value, "se": measured.se})


def finite(value: Any) -> Any:
    """The same, with null for a number that is none (nan, inf)."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, (list, tuple)) else value

"""The stories of a sweep and of an artifact as plain values."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from typing import Any

from rlhf.commands.parts.listed import as_json
from rlhf.commands.parts.listed.rows import SORTS
from rlhf.commands.parts.story import again
from rlhf.commands.parts.story.run import curves
from rlhf.compare.read.runs import load_run
from rlhf.config.titles import question
from rlhf.inventory import ArtifactEntry, Inventory, SweepEntry
from rlhf.inventory.stores import MANIFEST
from rlhf.rundir.read import collecting, read_json, read_text
from rlhf.rundir.secrets.redact import redact_override
from rlhf.tracking.links import page, tracked_place, ui_command

REPORTS = ("report.html", "report.md", "runs.csv", "frontier.png")
# of a manifest, what tells how an artifact came out
TOLD = (
    "val/perplexity",
    "val/accuracy",
    "val/calibration_error",
    "rows",
    "score_mean",
    "score_std",
)


def of_sweep(entry: SweepEntry) -> dict[str, Any]:
    directory, words = entry.directory, list(map(redact_override, entry.overrides))
    place = os.path.relpath(directory)
    flags = read_json(directory / "sweep.json").get("flags", ())
    command = again.sweep_command(words, flags) if words else None
    there = {name: directory / name for name in REPORTS}
    left = [job for job in entry.jobs if not job.is_finished]
    return {
        **as_json.of_sweep(entry),
        "question": question(entry.overrides),
        "command": command,
        "verdict": verdict(entry),
        "runs": [as_json.of_run(job) for job in sorted(entry.jobs, key=SORTS["reward"])],
        "paths": {name: os.path.relpath(path) for name, path in there.items() if path.exists()},
        "links": _links(entry),
        "next": [
            *([(command, f"runs what is missing: {len(left)}")] if command and left else []),
            (f"rlhf compare {place}", "the table, the report and the verdict"),
            (f"rlhf select {place}", "a policy for a purpose"),
            (f"rlhf ui {place}", "its runs in MLflow"),
        ],
    }


def verdict(entry: SweepEntry) -> str | None:
    """The first sentences of its comparison; None where it was not compared."""
    lines = (read_text(entry.directory / "report.md") or "").splitlines()
    bold = (line for line in lines if line.startswith("**") and line.endswith("**"))
    return next((line.strip("*") for line in bold), None)


def _links(entry: SweepEntry) -> dict[str, str]:
    """{} where it was never tracked."""
    try:
        uri, place = tracked_place(entry.directory)
    except (ValueError, sqlite3.Error):
        return {}
    command = ui_command(uri)
    return {**({"mlflow": command} if command else {}), "runs": page(uri) + place}


def of_artifact(entry: ArtifactEntry, inventory: Inventory) -> dict[str, Any]:
    manifest, place = entry.manifest, os.path.relpath(entry.directory)
    stored = {a.key: os.path.relpath(a.directory) for a in inventory.artifacts}
    with collecting():
        drawn = curves(load_run(entry.directory))
    policy = entry.key.stage in ("sft", "ppo")
    return {
        **as_json.of_artifact(entry),
        "parents": [{**key._asdict(), "directory": stored.get(key)} for key in entry.parents],
        "results": as_json.finite(_results(manifest)),
        "seed": manifest.get("seed"),
        "data": manifest.get("data", {}),
        "versions": manifest.get("versions", {}),
        "git": manifest.get("git", {}),
        "curves": drawn,
        "warnings": list((manifest.get("metrics") or {}).get("warnings", ())),
        "paths": {MANIFEST: f"{place}/{MANIFEST}"},
        "next": [
            *([(f"rlhf sample {place}", "talk to it")] if policy else []),
            *([(f"rlhf export {place}", "for others")] if entry.key.stage in SAVED else []),
            *([(f"rlhf show {entry.run}", "the run that ended in it")] if entry.run else []),
        ],
    }


SAVED = ("sft", "reward_model", "ppo")  # stages that leave a model


def _results(manifest: Mapping[str, Any]) -> dict[str, Any]:
    metrics = manifest.get("metrics") or {}
    rewards = (k for k in metrics if k.startswith(("reward/", "kl/sequence_nats")))
    keys = (*TOLD, *(k for k in rewards if "_k2" not in k and "_k3" not in k))
    return {key: metrics[key] for key in keys if key in metrics}

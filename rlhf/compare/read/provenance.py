"""Stages, code and packages that the runs of a comparison stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.compare.read.runs import Run
from rlhf.config.stages import STAGES
from rlhf.rundir.read import read_json


def fingerprints(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Stage -> the distinct fingerprints that the runs stand on, in the order of the runs."""
    prints: dict[str, dict[str, None]] = {}
    for run in runs:
        for stage, print_ in (run.summary.get("fingerprints") or {}).items():
            if stage not in STAGES or not STAGES[stage].is_run:
                prints.setdefault(stage, {})[str(print_)] = None
    return {stage: list(distinct) for stage, distinct in prints.items()}


def manifests(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """manifest.json of each finished run."""
    return [read_json(run.directory / "manifest.json") for run in runs if run.finished]


def revisions(manifests: Sequence[dict[str, Any]]) -> list[str]:
    """Git revisions, those of a tree with changes marked."""
    gits = [m["git"] for m in manifests if (m.get("git") or {}).get("revision")]
    return sorted(
        {str(git["revision"])[:12] + (" with changes" if git.get("dirty") else "") for git in gits}
    )


def versions(manifests: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Package -> the versions that made the runs."""
    table: dict[str, set[str]] = {}
    for manifest in manifests:
        for package, version in (manifest.get("versions") or {}).items():
            table.setdefault(str(package), set()).add(str(version))
    return {package: sorted(seen) for package, seen in table.items()}


def shared(prints: Sequence[str]) -> str:
    """The number of different fingerprints of a stage, in words."""
    return "one for all runs" if len(prints) == 1 else f"{len(prints)} different"

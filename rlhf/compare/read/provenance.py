"""What the runs of a comparison stand on: stages, code and packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.compare.read.runs import Run
from rlhf.compare.statistics.settings import Setting
from rlhf.config.stages import STAGES
from rlhf.rundir.read import read_json


def fingerprints(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Stage -> the distinct fingerprints that the runs stand on, in the order of the runs."""
    prints: dict[str, dict[str, None]] = {}
    for run in runs:
        for stage, found in (run.summary.get("fingerprints") or {}).items():
            if stage not in STAGES or not STAGES[stage].is_run:
                prints.setdefault(stage, {})[str(found)] = None
    return {stage: list(found) for stage, found in prints.items()}


def manifests(runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [read_json(run.directory / "manifest.json") for run in runs if run.finished]


def revisions(found: Sequence[dict[str, Any]]) -> list[str]:
    """Git revisions, those of a tree with changes marked."""
    gits = [m["git"] for m in found if (m.get("git") or {}).get("revision")]
    return sorted(
        {str(git["revision"])[:12] + (" with changes" if git.get("dirty") else "") for git in gits}
    )


def versions(found: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Package -> the versions that made the runs."""
    table: dict[str, set[str]] = {}
    for manifest in found:
        for package, version in (manifest.get("versions") or {}).items():
            table.setdefault(str(package), set()).add(str(version))
    return {package: sorted(seen) for package, seen in table.items()}


def starts(settings: Sequence[Setting]) -> list[list[Setting]]:
    """The settings by the SFT policy that their KL is to: those with one in common together. One
    that does not say is with the first."""
    groups: list[tuple[set[str], list[Setting]]] = []
    for s in settings:
        own = set(fingerprints(s.runs).get("sft", ()))
        home = next((g for g in groups if not own or not g[0] or own & g[0]), None)
        if home is None:
            groups.append((own, [s]))
        else:
            home[0].update(own)
            home[1].append(s)
    return [members for _, members in groups]


def shared(found: Sequence[str]) -> str:
    return "one for all runs" if len(found) == 1 else f"{len(found)} different"
